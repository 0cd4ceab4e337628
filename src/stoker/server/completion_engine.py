"""The second engine of a deployment: it completes code beside the one that chats.

It is started once the first one is ready, so that it delays no start and no download of it. It has
a manager, a log and a state of its own: neither engine fails with the other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from stoker.errors import Problem
from stoker.server.diagnosis.log_diagnosis import with_command
from stoker.server.engine_manager import EngineManager, RequestGate
from stoker.server.engine_run import EngineFactory
from stoker.server.state_record import CompletionRecord
from stoker.server.timeouts import Timeouts


class CompletionEngine:
    """Keeps the completion engine running, from the moment the first one is ready."""

    def __init__(
        self,
        record: CompletionRecord,
        gate: RequestGate,
        factory: EngineFactory,
        stop: asyncio.Event,
        timeouts: Timeouts,
        log: logging.Logger,
    ) -> None:
        self._record = record
        self._log = log
        self._manager = EngineManager(record, gate, factory, stop, timeouts, log)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it, where that was not done yet. To be called in the event loop."""
        if self._task is None:
            self._record.note(started_at=time.time())
            self._task = asyncio.create_task(self._keep())

    def pause(self, *, paused: bool) -> None:
        """Take no time of the cores that it shares with the chat's engine, or go on."""
        self._manager.pause(paused=paused)

    async def ended(self) -> None:
        """Return once it is given up, or at the order to stop; at once where it never started."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def end(self) -> None:
        """Stop it. The order to stop has been given."""
        await self.ended()
        await self._manager.end()
        if self._task is not None and self._record.state.status != "failed":
            self._record.move("stopped", engine=None)

    async def _keep(self) -> None:
        try:
            problem = await self._manager.run()
        except Exception as error:  # whatever it is, the first engine serves on
            problem = Problem(
                "The completion engine could not be kept running.",
                f"{type(error).__name__}: {error}",
                "See stoker logs --completion, and report it.",
            )
        if problem is None:
            return
        problem = replace(problem, fix=with_command(problem.fix, self._record.spec.command))
        self._log.error("%s", problem)
        await self._manager.end()
        self._record.move("failed", problem=problem, engine=None)
