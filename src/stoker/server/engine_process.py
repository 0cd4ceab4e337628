"""An engine that runs, whatever it runs in: the supervisor deals with this and nothing below."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import psutil

from stoker.engines import Backend, ProcessLaunch
from stoker.server.deployment_state import Problem, ProcessId
from stoker.server.log_lines import Lines

_READ_BYTES = 65536


class EngineRun(Protocol):
    """One start of an engine."""

    backend: Backend
    #: What it is, for the log: "process 4711", "container vllm-server".
    what: str
    #: How often it is looked at while it runs.
    look_every_s: float

    @property
    def process(self) -> ProcessId | None:
        """The process that holds the engine's memory, where it is one of this machine's own."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative for a signal; ``None`` while it runs or where nobody knows."""
        ...

    def lines(self) -> AsyncIterator[str]:
        """Its log, from this start on, until it ends."""
        ...

    async def ended(self) -> bool:
        """Whether it is over, even where something else has started it again since."""
        ...

    async def silent(self) -> Problem | None:
        """Why it can't answer though it has not ended; ``None`` where it can."""
        ...

    async def end(self, grace_s: float) -> None:
        """Ask it to stop, and make it after ``grace_s``."""
        ...


class ProcessRun:
    """An engine as a child process and the processes that it starts: they are one group."""

    look_every_s = 0.2

    def __init__(self, process: asyncio.subprocess.Process, backend: Backend) -> None:
        self.backend = backend
        self.what = f"process {process.pid}"
        self._process = process
        self._identity: ProcessId | None = None
        with contextlib.suppress(Exception):  # it may be gone again: waiting for it will tell
            self._identity = ProcessId.of(process.pid)

    @classmethod
    async def start(cls, launch: ProcessLaunch, backend: Backend) -> ProcessRun:
        """Start it, and hand it on standard input what must not show in a process list."""
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **launch.env},
            start_new_session=True,  # Ctrl-C in the foreground is ours to handle, in order
        )
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert process.stdin is not None  # noqa: S101  (asked for just above)
            process.stdin.write(launch.stdin.encode())
            await process.stdin.drain()
        return cls(process, backend)

    @property
    def process(self) -> ProcessId | None:
        """The child itself."""
        return self._identity

    @property
    def exit_code(self) -> int | None:
        """As the operating system gives it."""
        return self._process.returncode

    async def lines(self) -> AsyncIterator[str]:
        """Standard output and standard error, in the order in which they were written."""
        assert self._process.stdout is not None  # noqa: S101  (asked for when it was started)
        lines = Lines()
        while data := await self._process.stdout.read(_READ_BYTES):
            for line in lines.feed(data):
                yield line
        for line in lines.end():
            yield line

    async def ended(self) -> bool:
        """Whether the child is gone."""
        return self._process.returncode is not None

    async def silent(self) -> Problem | None:
        """Whether somebody froze it with SIGSTOP."""
        process = self._identity.process() if self._identity else None
        with contextlib.suppress(psutil.NoSuchProcess):
            if process is not None and process.status() == psutil.STATUS_STOPPED:
                return Problem(
                    f"The engine, {self.what}, is frozen.",
                    "Somebody sent it SIGSTOP; Stoker does not undo that.",
                    f"Let it go on: kill -CONT -- -{process.pid}",
                )
        return None

    async def end(self, grace_s: float) -> None:
        """SIGTERM to the group, then SIGKILL."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._process.wait(), grace_s)


class AdoptedRun:
    """A server that somebody else runs: it is watched, and never started or stopped."""

    look_every_s = 5.0  # somebody else's server: asked seldom
    process: ProcessId | None = None
    exit_code: int | None = None

    def __init__(self, backend: Backend, answers: Callable[[], Awaitable[bool]]) -> None:
        self.backend = backend
        self.what = f"server {backend.url}"
        self._answers = answers

    async def lines(self) -> AsyncIterator[str]:
        """Its log is its owner's."""
        none: tuple[str, ...] = ()
        for line in none:
            yield line

    async def ended(self) -> bool:
        """It may come back at any time, so it is never over."""
        return False

    async def silent(self) -> Problem | None:
        """Whether it has stopped answering."""
        if await self._answers():
            return None
        return Problem(
            f"The server at {self.backend.url} does not answer.",
            "It was stopped, or it is too busy to answer within 2 s.",
            "Start it again: Stoker goes on by itself as soon as it answers.",
        )

    async def end(self, grace_s: float) -> None:
        """It is not ours to stop."""
