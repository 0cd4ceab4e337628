"""An engine as a child process of the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import psutil

from stoker.engines import Backend, ProcessLaunch
from stoker.errors import Problem
from stoker.server import processes
from stoker.server.log_lines import PROGRESS_EVERY_S, Lines
from stoker.server.processes import ProcessId

_READ_BYTES = 65536


class ProcessRun:
    """An engine as a child process and the processes that it starts: they are one group."""

    check_every_s = 0.2

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        backend: Backend,
        progress_every_s: float,
        *,
        pausable: bool = False,
    ) -> None:
        self._pausable = pausable
        self._is_paused = False
        self.backend = backend
        self._progress_every_s = progress_every_s
        self.what = f"process {process.pid}"
        self._process = process
        self._identity: ProcessId | None = None
        with contextlib.suppress(Exception):  # it may be gone already: ``ended`` reports that
            self._identity = ProcessId.of(process.pid)

    @classmethod
    async def start(
        cls,
        launch: ProcessLaunch,
        backend: Backend,
        progress_every_s: float = PROGRESS_EVERY_S,
        *,
        niceness: int = 0,
    ) -> ProcessRun:
        """Start it. Standard input carries what must not show in a process list.

        ``niceness`` is how far it stands back where others want the same core.
        """
        process = await asyncio.create_subprocess_exec(
            *processes.standing_back(launch.argv, niceness),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **launch.env},
            start_new_session=True,  # the supervisor handles Ctrl-C in the foreground, in order
        )
        if niceness:
            processes.weigh_session(process.pid, niceness)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            assert process.stdin is not None  # noqa: S101  (a pipe, see above)
            process.stdin.write(launch.stdin.encode())
            await process.stdin.drain()
        return cls(process, backend, progress_every_s, pausable=launch.pausable)

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
        assert self._process.stdout is not None  # noqa: S101  (a pipe, see ``start``)
        lines = Lines(progress_every_s=self._progress_every_s)
        while data := await self._process.stdout.read(_READ_BYTES):
            for line in lines.feed(data):
                yield line
        for line in lines.end():
            yield line

    async def ended(self) -> bool:
        """Whether the child is gone."""
        return self._process.returncode is not None

    async def silent(self) -> Problem | None:
        """Whether it was frozen with SIGSTOP, and not by ``pause``."""
        if self._is_paused:
            return None
        process = self._identity.process() if self._identity else None
        with contextlib.suppress(psutil.NoSuchProcess):
            if process is not None and process.status() == psutil.STATUS_STOPPED:
                return Problem(
                    f"The engine, {self.what}, is frozen.",
                    "Another program sent it SIGSTOP; Stoker does not undo that.",
                    f"Resume it: kill -CONT -- -{process.pid}",
                )
        return None

    def pause(self, *, paused: bool) -> None:
        """Stop it in its tracks, or let it go on. Nothing where it can't be left like that."""
        if not self._pausable or paused == self._is_paused or self._process.returncode is not None:
            return
        self._is_paused = paused
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGSTOP if paused else signal.SIGCONT)

    async def end(self, grace_s: float) -> None:
        """SIGTERM to the group, then SIGKILL."""
        self.pause(paused=False)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._process.wait(), grace_s)
