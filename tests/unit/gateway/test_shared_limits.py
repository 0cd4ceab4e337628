"""A store that gateways share, while it answers, while it is away, and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine

import pytest
from tests.support import virtual_clock

from stoker.access.caller import Caller, CallerLimits
from stoker.gateway.limiting.caller_limiter import CallerLimiter
from stoker.gateway.limiting.counters import (
    CountedUse,
    Outcome,
    StoreAwayError,
    StoreCall,
    StoreState,
)
from stoker.gateway.limiting.limit_plans import LimitPlan
from stoker.gateway.limiting.memory_counters import MemoryCounters
from stoker.gateway.limiting.request_tokens import RequestTokens
from stoker.gateway.limiting.shared_counters import (
    CHECK_IN_S,
    RETRY_S,
    SETTLE_S,
    SharedCounters,
)

NOTHING = RequestTokens(0, 0)
NOW = 1_800_000_000.0
#: What passes at most until a store that is back is used again.
BACK_S = CHECK_IN_S + RETRY_S + SETTLE_S


class Store:
    """A store in memory that can be away; every call takes ``delay_s``."""

    def __init__(self) -> None:
        self.is_away = False
        #: It counts, and its answers are lost.
        self.is_mute = False
        self.delay_s = 0.001
        self.calls: list[str] = []
        self.lose_everything()

    def lose_everything(self) -> None:
        self.held = MemoryCounters()
        self.contents = object()
        self.known: set[str] = set()
        self.gateways: dict[str, object] = {}

    async def check_in(self, gateway: str) -> StoreState:
        self.gateways[gateway] = self.contents
        await self._answer("check in")
        return StoreState(str(id(self.contents)), len(self.gateways))

    async def take(self, call: StoreCall) -> Outcome:
        if not self.is_away and self._counts(call):
            outcome = self.held.take(call.charges)
            if outcome.taken:
                self.known.add(call.name)
        else:
            outcome = Outcome(True, [CountedUse() for _ in call.charges])
        await self._answer("take")
        held = [CountedUse(dict(use.buckets), use.total) for use in outcome.uses]
        return Outcome(outcome.taken, held)

    async def add(self, calls: Collection[StoreCall]) -> None:
        await asyncio.sleep(self.delay_s)
        for call in calls:
            if not self.is_away and self._counts(call):
                self.known.add(call.name)
                self.held.add(call.charges)
        await self._answer("add")

    async def tidy(self, now: float) -> None:
        await self._answer("tidy")

    async def close(self) -> None:
        await self._answer("close")

    def total(self) -> int:
        return sum(charge.amount for charge in self.held.all())

    def _counts(self, call: StoreCall) -> bool:
        return call.name not in self.known

    async def _answer(self, call: str) -> None:
        self.calls.append(call)
        await asyncio.sleep(self.delay_s)
        if self.is_away or self.is_mute:
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
        await asyncio.sleep(BACK_S)
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


def test_client_that_asks_again_at_once_has_one_place_and_not_two() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=2)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        reservation = await gateway.limiter.reserve(plan, NOTHING)
        store.calls.clear()
        gateway.limiter.settle(reservation, NOTHING)
        assert await gateway.takes(plan)
        assert store.calls == ["add", "take"], "else another gateway's client is refused for it"

    on_virtual_clock(main())


def test_client_that_leaves_while_the_store_counts_its_request_is_charged_nothing() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=5, tokens_per_month=1000)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        asked = RequestTokens(100, 100)
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
            await gateway.limiter.reserve(plan, RequestTokens(1, 0))
        await asyncio.sleep(RETRY_S / 2)  # what was on its way has come back
        await gateway.counters.tidy(NOW + 120)
        store.is_away = False
        store.calls.clear()
        await asyncio.sleep(BACK_S)
        assert store.total() == 1201, (
            "the month's tokens, the minute's request of the call in doubt"
        )
        assert store.calls.count("add") == 4, "the call in doubt, and the others in three parts"

    on_virtual_clock(main())


def test_call_whose_answer_was_lost_is_counted_once() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=100, max_concurrent=100)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        store.is_mute = True
        reserved = await gateway.limiter.reserve(plan, NOTHING)
        assert reserved.outcome.taken
        assert store.total() == 2, "the store had counted it"
        gateway.limiter.settle(reserved, NOTHING)
        await asyncio.sleep(3 * RETRY_S)  # sent again and again, and its answers are lost, too
        store.is_mute = False
        await asyncio.sleep(BACK_S)
        assert store.total() == 1, "a request that has ended"

    on_virtual_clock(main())


def test_call_whose_answer_was_lost_and_that_is_refused_here_is_not_counted() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=2)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            await gateway.counters.start()
        await asyncio.sleep(CHECK_IN_S)
        assert await gateways[0].takes(plan)
        store.is_mute = True
        assert not await gateways[0].takes(plan), "each gateway has one of the two places now"
        assert store.total() == 2, "the store had counted it"
        store.is_mute = False
        await asyncio.sleep(BACK_S)
        assert store.total() == 1

    on_virtual_clock(main())


def test_store_that_is_lost_twice_has_counted_what_was_taken_in_between() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=3)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        for _ in range(3):
            store.is_away = True
            await asyncio.sleep(CHECK_IN_S)
            assert await gateway.takes(plan)
            store.is_away = False
            await asyncio.sleep(BACK_S)
        store.is_away = True
        await asyncio.sleep(CHECK_IN_S)
        assert not await gateway.takes(plan)

    on_virtual_clock(main())


def test_two_gateways_share_what_was_left_when_the_store_went_away() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=100)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            await gateway.counters.start()
        await asyncio.sleep(CHECK_IN_S)  # the first one learns of the second
        taken = [await gateways[n % 2].takes(plan) for n in range(40)]
        assert taken == [True] * 40
        store.is_away = True
        taken = [await gateways[n % 2].takes(plan) for n in range(200)]
        assert 58 <= sum(taken) <= 60, "30 each"
        store.is_away = False
        await asyncio.sleep(BACK_S)
        assert store.total() == 40 + sum(taken)

    on_virtual_clock(main())


def test_places_are_divided_while_the_store_is_away() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=5)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            await gateway.counters.start()
        await asyncio.sleep(CHECK_IN_S)
        store.is_away = True
        await asyncio.sleep(CHECK_IN_S)  # also those notice that nobody asked anything
        for gateway in gateways:
            assert [await gateway.takes(plan) for _ in range(4)] == [True, True, False, False]

    on_virtual_clock(main())


def test_places_that_another_gateway_had_taken_count_until_their_lease_ends() -> None:
    async def main() -> None:
        now = [NOW]
        store, plan = Store(), plan_of(max_concurrent=3)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            gateway.limiter.clock = lambda: now[0]
            await gateway.counters.start()
        await asyncio.sleep(CHECK_IN_S)
        for _ in range(3):
            assert await gateways[0].takes(plan)
        assert not await gateways[1].takes(plan)
        store.is_away = True
        await asyncio.sleep(CHECK_IN_S)
        assert not await gateways[1].takes(plan), "three are under way elsewhere"
        now[0] += 62
        assert [await gateways[1].takes(plan) for _ in range(2)] == [True, False]

    on_virtual_clock(main())


def test_store_that_has_forgotten_everything_is_reminded_by_every_gateway() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=100)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            await gateway.counters.start()
        for n in range(30):
            assert await gateways[n % 2].takes(plan)
        store.lose_everything()  # and is back before any request notices it
        await asyncio.sleep(BACK_S)
        assert store.total() == 30
        taken = [await gateways[n % 2].takes(plan) for n in range(100)]
        assert sum(taken) == 70

    on_virtual_clock(main())


def test_store_that_lost_its_last_second_gets_it_again() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=100)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        assert await gateway.takes(plan)
        await asyncio.sleep(1)
        before, known = store.held.all(), set(store.known)
        assert await gateway.takes(plan)
        store.is_away = True
        await asyncio.sleep(CHECK_IN_S)
        store.held, store.known = MemoryCounters(), known
        store.held.add(before)  # as PostgreSQL after a crash, which confirmed more than it wrote
        store.is_away = False
        await asyncio.sleep(BACK_S)
        assert store.total() == 2

    on_virtual_clock(main())


def test_request_larger_than_a_share_is_taken_where_nothing_else_counts() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(tokens_per_minute=100)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            await gateway.counters.start()
        await asyncio.sleep(CHECK_IN_S)
        store.is_away = True
        await asyncio.sleep(CHECK_IN_S)
        limiter, large = gateways[0].limiter, RequestTokens(90, 10)
        first = await limiter.reserve(plan, large)
        assert first.outcome.taken
        refused = await limiter.reserve(plan, large)
        assert refused.over, "it names what is reached"
        limiter.settle(first, RequestTokens(30, 0))
        assert (await limiter.reserve(plan, RequestTokens(15, 5))).outcome.taken, (
            "30, 20, and as much"
        )

    on_virtual_clock(main())


def test_refusal_names_its_limit_although_room_is_made_a_moment_later() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(requests_per_minute=1)
        gateway = SharingGateway(store)
        await gateway.counters.start()
        first = await gateway.limiter.reserve(plan, NOTHING)
        refused = await gateway.limiter.reserve(plan, NOTHING)
        gateway.counters.add([charge._replace(amount=-1) for charge in first.charges])
        assert refused.over

    on_virtual_clock(main())


def test_store_that_is_back_decides_together_with_the_share_until_all_have_noticed() -> None:
    async def main() -> None:
        store, plan = Store(), plan_of(max_concurrent=3)
        gateways = [SharingGateway(store), SharingGateway(store)]
        for gateway in gateways:
            await gateway.counters.start()
        store.is_away = True
        await asyncio.sleep(CHECK_IN_S * 2)
        store.is_away = False
        taken = []
        for _ in range(int(BACK_S * 10)):  # one has settled before the other
            taken += [await gateway.takes(plan) for gateway in gateways]
            assert sum(taken) <= 3
            await asyncio.sleep(0.1)
        assert sum(taken) == 3
        assert store.total() == 3

    on_virtual_clock(main())
