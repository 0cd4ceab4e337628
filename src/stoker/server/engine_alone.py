"""An engine on its own, without a gateway or a supervisor: for measurements."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp

from stoker import engines
from stoker.engines import Backend
from stoker.errors import StokerError
from stoker.server.deployment_state import LaunchSpec
from stoker.server.engine_factory import PlannedEngineFactory
from stoker.server.engine_log import EngineLog
from stoker.server.engine_manager import hangs
from stoker.server.engine_run import EngineRun
from stoker.server.timeouts import Timeouts


class _Unheard:
    """A start whose progress is not shown."""

    def note(self, text: str) -> None:
        """Ignore it."""

    def container(self, name: str) -> None:
        """Ignore it."""


@contextlib.asynccontextmanager
async def engine_alone(
    spec: LaunchSpec,
    timeouts: Timeouts = Timeouts(),  # noqa: B008  (frozen)
) -> AsyncIterator[Backend]:
    """The engine of ``spec``, ready, until the block ends.

    Raises ``StokerError`` with the reason from its log where it does not start.
    """
    async with aiohttp.ClientSession() as http:
        run = await PlannedEngineFactory(http).start(spec, _Unheard())
        log = EngineLog(run, spec.plan.engine, spec.command, lambda _line: None)
        try:
            await _ready(http, run, log, timeouts)
            yield run.backend
        finally:
            await run.end(timeouts.grace_s)
            log.close()


async def _ready(
    http: aiohttp.ClientSession, run: EngineRun, log: EngineLog, timeouts: Timeouts
) -> None:
    client = engines.server_client(run.backend.engine)
    while not await client.ready(http, run.backend):
        if await run.ended():
            raise StokerError.of(await log.ending())
        if log.quiet_s > timeouts.stalled_s:
            raise hangs(timeouts.stalled_s)
        await asyncio.sleep(timeouts.poll_s)
