"""What the engine manager needs of an engine, whatever it runs in: one start, and who makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from stoker.engines import Backend
from stoker.errors import Problem
from stoker.server.deployment_state import LaunchSpec
from stoker.server.processes import ProcessId


class EngineRun(Protocol):
    """One start of an engine: a process, a container, or a server that Stoker did not start."""

    backend: Backend
    #: What it is, for the log: "process 4711", "container vllm-server".
    what: str
    #: How often it is checked while it runs.
    check_every_s: float

    @property
    def process(self) -> ProcessId | None:
        """The process that holds the engine's memory, where Stoker started it as a process."""
        ...

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative for a signal; ``None`` while it runs or where it is not known."""
        ...

    def lines(self) -> AsyncIterator[str]:
        """Its log, from this start on, until it ends."""
        ...

    async def ended(self) -> bool:
        """Whether this start is over, even where something else has started it again since."""
        ...

    async def silent(self) -> Problem | None:
        """Why it can't answer though it has not ended; ``None`` where it can."""
        ...

    def pause(self, *, paused: bool) -> None:
        """Take no time of the cores that it shares, or go on. Nothing where it can't."""
        ...

    async def end(self, grace_s: float) -> None:
        """Ask it to stop, and kill it after ``grace_s``."""
        ...


class StartCancelledError(Exception):
    """The order to stop came while the engine was being started."""


class StartProgress(Protocol):
    """Where a start reports to."""

    def note(self, text: str) -> None:
        """What is done now, from any thread. Raises ``StartCancelledError`` where it is to stop."""
        ...

    def container(self, name: str) -> None:
        """The name of the container that is about to be created."""
        ...


class EngineFactory(Protocol):
    """Starts the engine of a launch. Each call is another run."""

    async def start(self, spec: LaunchSpec, progress: StartProgress) -> EngineRun:
        """Start it; do not wait until it answers.

        Raises ``StokerError`` where it can't be started, and ``StartCancelledError``.
        """
        ...
