"""What reading a head ahead costs a request that comes meanwhile: a part of ``warm.py``.

llama.cpp with SmolLM2 reads a head of about 2,000 tokens ahead. A request that comes just after a
slice has begun waits for its end, so the longest slice is the most that it is delayed.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web
from benchmarks.restart import conversation
from benchmarks.shared_slots import FIT, engine, planned
from tests.support import real_models

from stoker import engines
from stoker.engines import Backend, PromptReader
from stoker.gateway import Gateway, Served
from stoker.gateway.heads_ahead import HeadsAhead
from stoker.gateway.prompt.last_heads import LastHeads
from stoker.gateway.prompt.prompt_chain import chain_of

TOKENS, GOAL_S, WITHIN_S = 2000, 0.05, 400.0


class TimedReader:
    """The engine's own, with a clock."""

    def __init__(self, reader: PromptReader) -> None:
        self._reader = reader
        self.slices: list[tuple[int, float]] = []
        self.timed = PromptReader(reader.tokens, self._read)

    async def _read(
        self, http: aiohttp.ClientSession, backend: Backend, slot: int, prompt: Sequence[int]
    ) -> None:
        began = time.perf_counter()
        await self._reader.read(http, backend, slot, prompt)
        self.slices.append((len(prompt), time.perf_counter() - began))


async def read_ahead(backend: Backend, folder: Path) -> TimedReader:
    """Let a gateway in this process read the head that another one has kept."""
    kept = LastHeads()
    kept.note(conversation(TOKENS, "Hi"))
    kept.write(folder / "heads.json")
    gateway, reader = Gateway(), engines.lookup(backend.engine).prompt_reader
    assert reader is not None
    timed = TimedReader(reader)
    runner = gateway.runner()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        served = await engines.server_client(backend.engine).discover(http, backend)
        gateway.serve([Served(backend, served, FIT, is_ours=True)])
        ahead = HeadsAhead(gateway, http, timed.timed, folder / "heads.json")
        keeping = asyncio.create_task(ahead.keep())
        (pooled,) = gateway.pool.backends
        (preparer,) = gateway.preparers(pooled)
        head = chain_of(conversation(TOKENS, "Hi")).head
        deadline = time.monotonic() + WITHIN_S
        # Nothing signals the end.
        while not preparer.ledger.holds(head) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        keeping.cancel()
    await runner.cleanup()
    return timed


def report() -> None:
    """Print the slices and their speed, and whether the goal is missed."""
    with tempfile.TemporaryDirectory() as name, engine(planned(real_models.smollm2())) as backend:
        slices = asyncio.run(read_ahead(backend, Path(name))).slices
    times = [took for _, took in slices]
    missed = "   MISSED" if max(times) > GOAL_S else ""
    print(
        f"{slices[-1][0]} tokens in {len(slices)} slices, {slices[-1][0] / sum(times):.0f} a "
        f"second; a request that comes meanwhile waits {statistics.median(times) * 1000:.0f} ms "
        f"(median), {max(times) * 1000:.0f} ms at most; goal: {GOAL_S * 1000:.0f} ms{missed}"
    )
