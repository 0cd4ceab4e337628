"""What reading a head ahead costs a request that comes meanwhile: a part of ``warm.py``.

llama.cpp with SmolLM2 reads a head of about 2,000 tokens ahead. Short requests come at random
moments while it does, each followed by the same one twice when nothing is read. The difference is
what the first was delayed; what the other two differ is the machine's own noise. A slice that has
begun is the most that one waits for.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from benchmarks.restart import conversation
from benchmarks.sent_rows import send
from benchmarks.shared_slots import FIT, engine, planned
from tests.support import real_models

from stoker import engines
from stoker.engines import Backend, PromptReader
from stoker.gateway import Gateway, Served
from stoker.gateway.heads_ahead import HeadsAhead
from stoker.gateway.prompt.last_heads import LastHeads

TOKENS, GOAL_S, PAIRS = 2000, 0.05, 20
#: A head is read again in the pause after a request, 5 s later; one for each pair, so that none is
#: read to its end before.
WITHIN_S = 60.0
#: Between two requests of a pair: less than the pause.
BETWEEN_S = 1.0


class TimedReader:
    """The engine's own, with a clock."""

    def __init__(self, reader: PromptReader) -> None:
        self._reader = reader
        self.slices: list[float] = []
        self.begun = asyncio.Event()
        self.timed = PromptReader(reader.tokens, self._read)

    async def _read(
        self, http: aiohttp.ClientSession, backend: Backend, slot: int, prompt: Sequence[int]
    ) -> None:
        self.begun.set()
        began = time.perf_counter()
        await self._reader.read(http, backend, slot, prompt)
        self.slices.append(time.perf_counter() - began)


@dataclass
class Delays:
    """What was measured, in seconds."""

    pairs: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    slices: list[float] = field(default_factory=list)


@asynccontextmanager
async def reading(backend: Backend, folder: Path) -> AsyncIterator[tuple[str, TimedReader]]:
    """A gateway in this process that reads the heads ahead which another one has kept."""
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
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", timed
        keeping.cancel()
    await runner.cleanup()


async def delays(backend: Backend, folder: Path) -> Delays:
    """Requests in pairs: while a head is read, and when none is."""
    found, chance = Delays(), random.Random(1)
    question = {"messages": [{"role": "user", "content": "Hi"}]}
    async with reading(backend, folder) as (url, reader):
        await asyncio.to_thread(send, url, question)
        for _ in range(PAIRS):
            reader.begun.clear()
            try:
                await asyncio.wait_for(reader.begun.wait(), WITHIN_S)
            except TimeoutError:
                break  # it was read to its end
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            beside = await asyncio.to_thread(send, url, question)
            await asyncio.sleep(BETWEEN_S)
            alone = await asyncio.to_thread(send, url, question)
            await asyncio.sleep(BETWEEN_S)
            again = await asyncio.to_thread(send, url, question)
            found.pairs.append(beside.first_token_s - alone.first_token_s)
            found.noise.append(abs(alone.first_token_s - again.first_token_s))
        found.slices = reader.slices
    return found


def report() -> None:
    """Print what requests were delayed, and whether the goal is missed."""
    with tempfile.TemporaryDirectory() as name, engine(planned(real_models.smollm2())) as backend:
        found = asyncio.run(delays(backend, Path(name)))
    missed = "   MISSED" if max(found.pairs) > GOAL_S else ""
    print(
        f"a request that comes meanwhile is answered {_ms(statistics.median(found.pairs))} later "
        f"(median of {len(found.pairs)} pairs), {_ms(max(found.pairs))} at most; two that come "
        f"alone differ by {_ms(statistics.median(found.noise))}, {_ms(max(found.noise))} at most; "
        f"a slice took {_ms(statistics.median(found.slices))} (median of {len(found.slices)}), "
        f"{_ms(max(found.slices))} at most; goal: {_ms(GOAL_S)}{missed}"
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
