"""An engine's log while it runs: passed on, searched for the cause of a failure, and timed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from stoker.errors import Problem
from stoker.server import log_file
from stoker.server.diagnosis.exit_reason import explain, how_it_ended
from stoker.server.diagnosis.log_diagnosis import Diagnosis, Reader
from stoker.server.engine_run import EngineRun

#: The last lines of an engine that ended arrive within this time.
_COMPLETE_S = 1.0


class EngineLog:
    """Reads the log of one run in a task of its own, until it ends or ``close``."""

    def __init__(
        self, run: EngineRun, engine: str, command: str, on_line: Callable[[str], None]
    ) -> None:
        self._run = run
        self._engine = engine
        self._diagnosis = Reader(engine, command)
        self._last_line_at = time.monotonic()
        self._on_line = on_line
        self._task = asyncio.create_task(self._read())

    @property
    def quiet_s(self) -> float:
        """How long ago the last line came."""
        return time.monotonic() - self._last_line_at

    @property
    def verdict(self) -> Diagnosis | None:
        """The root cause of a failure in what was read so far."""
        return self._diagnosis.verdict()

    async def ending(self) -> Problem:
        """Why the engine ended, once its last lines are read."""
        await asyncio.wait({self._task}, timeout=_COMPLETE_S)
        exit_code = self._run.exit_code
        self._diagnosis.feed([how_it_ended(exit_code)])  # some signals have one cause
        return explain(self._engine, self.verdict, exit_code)

    def close(self) -> None:
        """Stop reading."""
        self._task.cancel()

    async def _read(self) -> None:
        async for raw in self._run.lines():
            line = log_file.without_prompt(raw)
            self._diagnosis.feed([line])
            self._last_line_at = time.monotonic()
            self._on_line(line)
