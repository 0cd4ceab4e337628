"""An engine that Stoker did not start: a server that was already running and was adopted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from stoker.engines import Backend
from stoker.errors import Problem
from stoker.server.processes import ProcessId


class ExternalRun:
    """An adopted server: Stoker watches it, and never starts or stops it."""

    check_every_s = 5.0  # each check is a request to a server that others use too
    process: ProcessId | None = None
    exit_code: int | None = None

    def __init__(self, backend: Backend, ready: Callable[[], Awaitable[bool]]) -> None:
        self.backend = backend
        self.what = f"server {backend.url}"
        self._ready = ready

    async def lines(self) -> AsyncIterator[str]:
        """Nothing: its log is out of reach."""
        none: tuple[str, ...] = ()
        for line in none:
            yield line

    async def ended(self) -> bool:
        """It may come back at any time, so it is never over."""
        return False

    async def silent(self) -> Problem | None:
        """Whether it has stopped answering."""
        if await self._ready():
            return None
        return Problem(
            f"The server at {self.backend.url} does not answer.",
            "It was stopped, or it is too busy to answer within 2 s.",
            "Start it again: Stoker forwards requests as soon as it answers.",
        )

    def pause(self, *, paused: bool) -> None:
        """Others use it, too: it is never paused."""

    async def end(self, grace_s: float) -> None:
        """Stoker did not start it, so it does not stop it."""
