"""Reserves what a request may use before it is answered, and corrects it from what it used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from stoker.gateway.limiting.counters import Charge, CountedUse, Counters, Outcome
from stoker.gateway.limiting.limit_plans import LimitPlan, LimitPlans
from stoker.gateway.limiting.request_tokens import RequestTokens
from stoker.gateway.limiting.use_windows import RENEW_S, buckets_in

#: A client has the end of an answer a moment before its place is given back, and may ask again at
#: once. A request that no place is left for waits this long and tries once more.
_ENDING_S = 0.1


@dataclass(eq=False, slots=True)
class Reservation:
    """What was counted for one request, or would have been."""

    plan: LimitPlan
    charges: list[Charge]
    outcome: Outcome

    @property
    def over(self) -> list[tuple[Charge, CountedUse]]:
        """The charges that exceed their limits."""
        if self.outcome.taken:
            return []
        pairs = zip(self.charges, self.outcome.uses, strict=True)
        return [(c, use) for c, use in pairs if use.total + c.amount > c.counter.limit]

    @property
    def waits_for_others(self) -> bool:
        """Whether only requests that are under way are in its way."""
        over = self.over
        return bool(over) and all(charge.counter.kind == "concurrent" for charge, _ in over)


class CallerLimiter:
    """The limits of one gateway. What it counts lives in ``counters``."""

    def __init__(self, counters: Counters, clock: Callable[[], float] = time.time) -> None:
        #: By the configuration; each may be replaced.
        self.plans = LimitPlans()
        #: Seconds since 1970. Gateways that share a store need clocks that agree to a second.
        self.clock = clock
        self._counters = counters
        self._under_way: set[Reservation] = set()

    @property
    def under_way(self) -> int:
        """Requests that have begun and not ended."""
        return len(self._under_way)

    async def reserve(self, plan: LimitPlan, asked: RequestTokens) -> Reservation:
        """Count a request that is about to begin; nothing where it exceeds a limit."""
        charges = charges_of(plan, asked, self.clock())
        outcome = await self._counters.take(charges)
        reservation = Reservation(plan, charges, outcome)
        if not outcome.taken and reservation.waits_for_others:
            await asyncio.sleep(_ENDING_S)
            reservation.charges = charges_of(plan, asked, self.clock())
            reservation.outcome = outcome = await self._counters.take(reservation.charges)
        if outcome.taken:
            self._under_way.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, used: RequestTokens) -> None:
        """The request ended: count what it used in place of what was reserved."""
        self._under_way.discard(reservation)
        self._counters.add(corrections(reservation, used, self.clock()))

    def renew(self) -> None:
        """Count the requests under way again, so that they do not run out."""
        now = self.clock()
        renewed: list[Charge] = []
        for reservation in self._under_way:
            for index, charge in enumerate(reservation.charges):
                if charge.counter.kind == "concurrent":
                    again = charge._replace(bucket=charge.counter.window.bucket(now))
                    renewed += (again, charge._replace(amount=-charge.amount))
                    reservation.charges[index] = again
        if renewed:
            self._counters.add(renewed)

    async def start(self) -> None:
        """Connect to what holds the counts. Never fails."""
        await self._counters.start()

    async def keep(self) -> None:
        """Renew and tidy, for as long as the gateway runs."""
        while True:
            await asyncio.sleep(RENEW_S)
            self.renew()
            await self._counters.tidy(self.clock())

    async def close(self) -> None:
        """Keep what is to be kept, and disconnect. Never fails."""
        await self._counters.close()


def charges_of(plan: LimitPlan, asked: RequestTokens, now: float) -> list[Charge]:
    """What a request is counted as, at each of its counters.

    The room for its answer shrinks where a limit is smaller than that: the whole limit is enough.
    """
    buckets = buckets_in(int(now))
    prompt, answer = asked
    both = prompt + answer
    charges = []
    for counter in plan.counters:
        _, kind, limit, window = counter
        amount = 1
        if kind == "tokens":
            amount = both
            if amount > limit:
                amount = max(prompt, limit)
        elif kind == "cost":
            amount = plan.price.cost(prompt, answer)
            if amount > limit:
                amount = max(plan.price.cost(prompt, 0), limit)
        charges.append(Charge(counter, buckets[window.name], amount))
    return charges


def corrections(reservation: Reservation, used: RequestTokens, now: float) -> list[Charge]:
    """What is to be counted when a request ends.

    What was reserved too much is given back where it was counted; what it used beyond that counts
    from now on.
    """
    prompt, answer = used
    both = prompt + answer
    corrected = []
    for counter, bucket, amount in reservation.charges:
        kind = counter[1]
        if kind == "requests":
            continue
        actual = 0  # of requests under way
        if kind == "tokens":
            actual = both
        elif kind == "cost":
            actual = reservation.plan.price.cost(prompt, answer)
        if actual < amount:
            corrected.append(Charge(counter, bucket, actual - amount))
        elif actual > amount:
            corrected.append(Charge(counter, counter.window.bucket(now), actual - amount))
    return corrected


def wait_s(charge: Charge, use: CountedUse, now: float) -> float:
    """Seconds until an amount fits, if nothing else is counted meanwhile."""
    counter, _, amount = charge
    left = use.total
    ends = now
    for bucket in sorted(use.buckets):
        if left + amount <= counter.limit:
            break
        left -= use.buckets[bucket]
        ends = counter.window.end_of(bucket)
    return max(0.0, ends - now)


def reset_s(charge: Charge, use: CountedUse, now: float) -> float:
    """Seconds until nothing is counted any more, if nothing else is counted meanwhile."""
    if not use.buckets:
        return 0.0
    return max(0.0, charge.counter.window.end_of(next(reversed(use.buckets))) - now)
