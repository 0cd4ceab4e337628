"""A store that gateways share, while it answers, while it is away, and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Sequence

import pytest
from tests.support import virtual_clock

from stoker.access.caller import Caller, CallerLimits
from stoker.gateway.limiting.caller_limiter import CallerLimiter
from stoker.gateway.limiting.counters import Charge, Outcome, StoreAwayError
from stoker.gateway.limiting.limit_plans import LimitPlan
from stoker.gateway.limiting.memory_counters import MemoryCounters
from stoker.gateway.limiting.request_tokens import AskedTokens
from stoker.gateway.limiting.shared_counters import RETRY_S, SharedCounters

NOTHING = AskedTokens(0, 0)
NOW = 1_800_000_000.0


class Store:
    """A store in memory that can be away; every call takes ``delay_s``."""

    def __init__(self) -> None:
        self.held = MemoryCounters()
        self.is_away = False
        self.delay_s = 0.001
        self.calls: list[str] = []

    async def open(self) -> None:
        await self._answer("open")

    async def take(self, charges: Sequence[Charge]) -> Outcome:
        await self._answer("take")
        return self.held.take(charges)

    async def add(self, charges: Collection[Charge]) -> None:
        await self._answer("add")
        self.held.add(charges)

    async def tidy(self, now: float) -> None:
        await self._answer("tidy")

    async def close(self) -> None:
        await self._answer("close")

    def total(self) -> int:
        return sum(charge.amount for charge in self.held.all())

    async def _answer(self, call: str) -> None:
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        if self.is_away:
            raise StoreAwayError("away")


class SharingGateway:
    """The limits of one gateway that shares a store."""

    def __init__(self, store: Store) -> None:
        self.changes: list[bool] = []
        self.counters = SharedCounters(store, self.changes.append)
        self.limiter = CallerLimiter(self.counters, lambda: NOW)

    async def takes(self, plan: LimitPlan) -> bool:
        return (await self.limiter.reserve(plan, NOTHING)).outcome.taken


def plan_of(**limits: int) -> LimitPlan:
    limiter = CallerLimiter(SharedCounters(Store(), lambda _: None))
    return limiter.plans.of(Caller("ann", limits=CallerLimits(**limits)), "coder")


def on_virtual_clock(main: Coroutine[object, object, None]) -> None:
    async def ended() -> None:
        try:
            await main
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    virtual_clock.run(ended())


def test_two_gateways_share_a_limit() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=10)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            await gateway.counters.start()
        taken = await asyncio.gather(*(gateways[n % 2].takes(plan) for n in range(30)))
        assert sum(taken) == 10

    on_virtual_clock(main())


def test_requests_go_on_without_waiting_while_the_store_is_away() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=5)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        assert [await gateway.takes(plan) for _ in range(3)] == [True] * 3
        store.is_away = True
        assert await gateway.takes(plan), "this one finds out, and is not refused"
        began = asyncio.get_running_loop().time()
        assert [await gateway.takes(plan) for _ in range(2)] == [True, False], "4 and 5 of 5"
        assert asyncio.get_running_loop().time() == began
        assert gateway.changes == [False, True, False]

    on_virtual_clock(main())


def test_store_that_is_back_learns_what_was_taken_meanwhile() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=100, max_concurrent=100)
        gateway, other = SharingGateway(store), SharingGateway(store)
        await gateway.counters.start()
        await other.counters.start()
        await gateway.takes(plan)
        store.is_away = True
        reserved = [await gateway.limiter.reserve(plan, NOTHING) for _ in range(3)]
        gateway.limiter.settle(reserved[0], NOTHING)
        store.is_away = False
        await asyncio.sleep(2 * RETRY_S)
        assert gateway.changes[-1]
        requests, concurrent = (await other.limiter.reserve(plan, NOTHING)).outcome.uses
        assert (requests.total, concurrent.total) == (5, 4)

    on_virtual_clock(main())


def test_gateway_starts_without_the_store_and_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=1)
        store.is_away = True
        gateway = SharingGateway(store)
        await gateway.counters.start()
        assert [await gateway.takes(plan) for _ in range(2)] == [True, False]
        await gateway.counters.close()

    on_virtual_clock(main())
    assert caplog.text.count("this gateway counts by itself") == 1


def test_slot_that_was_given_back_a_moment_ago_is_free() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=1)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        for _ in range(20):
            reservation = await gateway.limiter.reserve(plan, NOTHING)
            assert reservation.outcome.taken
            gateway.limiter.settle(reservation, NOTHING)

    on_virtual_clock(main())


def test_client_that_leaves_while_the_store_counts_its_request_is_charged_nothing() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=5, tokens_per_month=1000)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        asked = AskedTokens(100, 100)
        asking = asyncio.create_task(gateway.limiter.reserve(plan, asked))
        await asyncio.sleep(store.delay_s / 2)
        asking.cancel()
        await asyncio.sleep(store.delay_s * 4)
        assert asking.cancelled()
        assert store.calls.count("take") == 1
        assert store.total() == 0
        assert not gateway.counters._left

    on_virtual_clock(main())


def test_everything_is_sent_before_the_gateway_ends() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=10_000)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        reserved = [await gateway.limiter.reserve(plan, NOTHING) for _ in range(20)]
        assert store.total() == 20
        for reservation in reserved:
            gateway.limiter.settle(reservation, NOTHING)
        await gateway.counters.close()
        assert store.total() == 0
        assert store.calls[-1] == "close"

    on_virtual_clock(main())


def test_long_absence_is_sent_in_parts_and_forgets_what_no_longer_counts() -> None:
    async def main() -> None:
        store = Store()
        gateway = SharingGateway(store)
        await gateway.counters.start()
        store.is_away = True
        limits = CallerLimits(tokens_per_month=10**9, requests_per_minute=10**9)
        for n in range(1200):
            plan = gateway.limiter.plans.of(Caller(f"owner{n}", limits=limits), "coder")
            await gateway.limiter.reserve(plan, AskedTokens(1, 0))
        await asyncio.sleep(RETRY_S / 2)  # what was on its way has come back
        await gateway.counters.tidy(NOW + 120)
        store.is_away = False
        store.calls.clear()
        await asyncio.sleep(2 * RETRY_S)
        assert store.total() == 1200, "the month's tokens, and no longer the minute's requests"
        assert store.calls.count("add") == 3

    on_virtual_clock(main())
