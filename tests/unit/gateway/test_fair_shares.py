"""Owners share a busy backend by tokens: a loop of large requests starves no one."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.support import virtual_clock

from stoker.engines import Backend, ServedModel
from stoker.gateway.routing.backend_pool import Pool
from stoker.gateway.routing.backend_slots import BackendSlots
from stoker.gateway.routing.owner_shares import OwnerShares
from stoker.gateway.routing.pooled_backend import PooledBackend

TOKENS_PER_S = 1000


class BusyBackend:
    """A backend with two slots, and what it has done for each owner."""

    def __init__(self) -> None:
        self._pool = Pool()
        model = ServedModel("coder")
        self._pool.replace([PooledBackend(Backend("http://127.0.0.1:1", "openai"), [model], 2)])
        self._slots = BackendSlots(self._pool)
        self.tokens: Counter[str] = Counter()
        self.waits_s: dict[str, list[float]] = {}

    async def loop(self, owner: str, tokens: int, end: float) -> None:
        """One request after the other."""
        now = asyncio.get_running_loop().time
        while now() < end:
            began = now()
            slot = await self._slots.acquire("coder", owner, {})
            self.waits_s.setdefault(owner, []).append(now() - began)
            await asyncio.sleep(tokens / TOKENS_PER_S)
            self.tokens[owner] += tokens
            self._slots.release(slot, tokens)


def simulated(clients: dict[str, tuple[int, int]], seconds: float = 240.0) -> BusyBackend:
    """So many clients of each owner, with requests of so many tokens."""

    async def main() -> BusyBackend:
        busy = BusyBackend()
        loops = [
            busy.loop(owner, tokens, seconds)
            for owner, (count, tokens) in clients.items()
            for _ in range(count)
        ]
        await asyncio.gather(*loops)
        return busy

    return virtual_clock.run(main())


def test_loop_of_large_requests_gets_no_more_tokens_than_others() -> None:
    busy = simulated({"loop": (6, 4_000), "ann": (4, 500), "bob": (4, 1_000)})
    shares = {owner: tokens / busy.tokens.total() for owner, tokens in busy.tokens.items()}
    assert shares == pytest.approx({"loop": 1 / 3, "ann": 1 / 3, "bob": 1 / 3}, abs=0.05)


def test_one_who_asks_now_and_then_waits_for_what_runs_and_no_longer() -> None:
    async def main() -> list[float]:
        busy = BusyBackend()
        loops = [asyncio.create_task(busy.loop("loop", 5_000, 300)) for _ in range(12)]
        for turn in range(10):
            await asyncio.sleep(20)
            await busy.loop("ann", 200, 20.0 * turn + 20.5 + sum(busy.waits_s.get("ann", [])))
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        return busy.waits_s["ann"]

    assert max(virtual_clock.run(main())) <= 5.0


def test_owner_that_was_alone_owes_nothing_for_it() -> None:
    shares = OwnerShares()
    for _ in range(100):
        shares.end("ann", shares.begin("ann"), 10_000)
    assert shares.mark("ann") - shares.mark("bob") <= 10_000, "its last request at most"


def test_no_owner_owes_anything_after_a_rest() -> None:
    shares = OwnerShares()
    for owner, tokens in (("loop", 100_000), ("ann", 10)):
        shares.end(owner, shares.begin(owner), tokens)
    assert shares.mark("loop") > shares.mark("ann")
    shares.rest()
    assert shares.mark("loop") == shares.mark("ann") == shares.mark("new")


def test_server_rests_when_its_last_request_has_ended() -> None:
    async def main() -> tuple[float, float]:
        slots = BackendSlots(pool := Pool())
        pool.replace([PooledBackend(Backend("http://a", "vllm"), [ServedModel("m")], 1)])
        for owner, tokens in (("loop", 100_000), ("ann", 10)):
            slots.release(await slots.acquire("m", owner, {}), tokens)
        return slots._shares.mark("loop"), slots._shares.mark("ann")

    loop, ann = virtual_clock.run(main())
    assert loop == ann


def test_owner_that_was_idle_has_saved_nothing_up() -> None:
    shares = OwnerShares()
    shares.end("idle", shares.begin("idle"), 10)
    for _ in range(100):
        shares.end("ann", shares.begin("ann"), 10_000)
    assert shares.mark("ann") - shares.mark("idle") <= 10_000


def test_owners_that_have_used_the_least_are_forgotten_where_there_are_many() -> None:
    shares = OwnerShares()
    for n in range(10_000):
        shares.end(f"owner{n}", shares.begin(f"owner{n}"), n % 7)
    assert len(shares._marks) <= 2048
