"""An engine in a container."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator

from stoker import engines
from stoker.engines import Backend, ContainerLaunch
from stoker.errors import Problem, StokerError
from stoker.server.docker_client import Containers, ContainerState, ensure
from stoker.server.log_lines import Lines
from stoker.server.processes import ProcessId


class ContainerRun:
    """One start of a container. A later start of the same container is another run."""

    check_every_s = 0.5  # over a socket
    process: ProcessId | None = None  # a child of the container runtime, which Stoker never signals

    def __init__(self, containers: Containers, found: ContainerState, engine: str) -> None:
        variable = f"{engines.get(engine).key_variable}="
        key = next((e for e in found.environment if e.startswith(variable)), None)
        self.backend = Backend(found.url, engine, key and key.removeprefix(variable))
        self.name = found.name
        self.what = f"container {found.name}"
        self._containers = containers
        self._first = found
        self._now: ContainerState | None = found
        #: Why the container runtime does not answer: mostly it is being restarted.
        self._outage: Problem | None = None

    @classmethod
    async def start(
        cls,
        launch: ContainerLaunch,
        engine: str,
        *,
        endpoint: str | None,
        replace: bool,
        report: Callable[[str], None],
    ) -> ContainerRun:
        """Adopt, start or make the container. ``report`` is called from another thread."""

        def begin() -> ContainerRun:
            containers = Containers(endpoint)
            found = ensure(containers, launch, replace=replace, report=report)
            return cls(containers, found, engine)

        return await asyncio.to_thread(begin)

    @property
    def exit_code(self) -> int | None:
        """The exit code of the container's first process."""
        return self._now.exit_code if self._now is not None and not self._now.alive else None

    async def lines(self) -> AsyncIterator[str]:
        """The log since this start; the last lines are what the runtime reports of the end."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def read() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, so no reader is left
                for piece in self._pieces():
                    loop.call_soon_threadsafe(queue.put_nowait, piece)
                loop.call_soon_threadsafe(queue.put_nowait, None)

        threading.Thread(target=read, name="container log", daemon=True).start()
        lines = Lines()
        while (piece := await queue.get()) is not None:
            for line in lines.feed(piece):
                yield line
        for line in lines.end():
            yield line
        now = await self._refresh()
        if now is not None and now.out_of_memory:
            yield "container state: OOMKilled"
        if now is not None and now.error:
            yield f"container state: {now.error}"

    def _pieces(self) -> Iterator[bytes]:
        try:
            yield from self._containers.log(self._first.id, self._first.started_at, follow=True)
        except StokerError:
            return  # removed, or the runtime went away: ``ended`` and ``silent`` find out which

    async def ended(self) -> bool:
        """Whether this start is over; Docker may have begun another one by itself."""
        now = await self._refresh()
        if self._outage is not None:
            return False  # not known, and it may still run
        return now is None or not now.alive or now.started_at != self._first.started_at

    async def silent(self) -> Problem | None:
        """Whether it was frozen with ``docker pause``, or the runtime does not answer."""
        now = await self._refresh()
        if self._outage is not None or now is None or now.status != "paused":
            return self._outage
        return Problem(
            f"The {self.what} is paused.",
            "Another program paused it; Stoker does not undo that.",
            f"Resume it: docker unpause {self.name}.",
        )

    def pause(self, *, paused: bool) -> None:
        """Its cores are the container runtime's to share: it is never paused."""

    async def end(self, grace_s: float) -> None:
        """Stop it. It stays there, stopped, until ``stoker down`` removes it."""
        with contextlib.suppress(StokerError):  # without its runtime it can't be stopped
            await asyncio.to_thread(self._containers.stop, self._first.id, grace_s)

    async def _refresh(self) -> ContainerState | None:
        try:
            self._now = await asyncio.to_thread(self._containers.find, self._first.id)
            self._outage = None
        except StokerError as error:
            self._outage = error.problem
        return self._now
