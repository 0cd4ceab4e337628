"""What is counted against a limit, and the places that can hold the counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from stoker.gateway.limiting.use_windows import Window

#: Costs are counted in millionths of the prices' currency: the price of a million tokens is then
#: that of one.
COST_UNIT = 1_000_000
Kind = Literal["requests", "tokens", "cost", "concurrent"]
#: Those of which a request's amount is not known before it is answered.
MEASURED_KINDS: frozenset[Kind] = frozenset({"tokens", "cost"})


class Counter(NamedTuple):
    """One limit of one owner, key or model."""

    #: The same at every gateway; printable ASCII.
    name: str
    kind: Kind
    limit: int
    window: Window


class Charge(NamedTuple):
    """An amount to count at a counter, in a bucket of its window."""

    counter: Counter
    bucket: int
    amount: int


@dataclass(slots=True)
class CountedUse:
    """What a counter holds: amounts by bucket, the oldest first, and their sum."""

    buckets: dict[int, int] = field(default_factory=dict)
    total: int = 0
    #: The newest bucket for which was forgotten what does not count beside it.
    tidied_for: int | None = field(default=None, compare=False, repr=False)

    def copy(self) -> CountedUse:
        """The same, which changes by itself."""
        return CountedUse(dict(self.buckets), self.total)

    def tidy_for(self, newest: int, window: Window) -> None:
        """Drop the buckets that do not count beside the newest one: at most once for each."""
        if newest != self.tidied_for:
            self.forget_outside(window.first(newest), window.last(newest))
            self.tidied_for = newest

    def forget_outside(self, first: int, last: int) -> None:
        """Drop the buckets that no longer count, and those of a clock that was ahead."""
        buckets = self.buckets
        while buckets and (oldest := next(iter(buckets))) < first:
            self.total -= buckets.pop(oldest)
        while buckets and (newest := next(reversed(buckets))) > last:
            self.total -= buckets.pop(newest)

    def add(self, bucket: int, amount: int) -> None:
        """Count an amount. What is given back of a bucket never makes it negative."""
        known = self.buckets.get(bucket)
        if known is None:
            if amount > 0:
                self._begin(bucket, amount)
        elif known + amount > 0:
            self.buckets[bucket] = known + amount
            self.total += amount
        else:
            del self.buckets[bucket]
            self.total -= known

    def _begin(self, bucket: int, amount: int) -> None:
        is_late = bool(self.buckets) and bucket < next(reversed(self.buckets))
        self.buckets[bucket] = amount
        self.total += amount
        self.tidied_for = None  # it may be one that does not count
        if is_late:
            self.buckets = dict(sorted(self.buckets.items()))


class Outcome(NamedTuple):
    """Whether charges were taken, and what each counter holds now."""

    taken: bool
    uses: Sequence[CountedUse]

    @classmethod
    def from_store(
        cls, taken: bool, held: Sequence[Mapping[int, int]], charges: Sequence[Charge]
    ) -> Outcome:
        """From what a store held before these charges."""
        uses = [CountedUse(dict(sorted(each.items())), sum(each.values())) for each in held]
        if taken:
            for use, charge in zip(uses, charges, strict=True):
                use.add(charge.bucket, charge.amount)
        return cls(taken, uses)


class Counters(Protocol):
    """The counts of one gateway, or of several that share them."""

    async def start(self) -> None:
        """Connect, as far as that is needed. Never fails."""

    async def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit."""

    def add(self, charges: Collection[Charge]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""

    async def tidy(self, now: float) -> None:
        """Forget what no longer counts, and keep what a restart must not forget."""

    async def close(self) -> None:
        """Keep what is to be kept, and disconnect. Never fails."""


#: A request waits for a shared store no longer; then the store is away, and none waits until it is
#: back. On one host Redis answers in 0.3 ms and PostgreSQL in 2 ms; a host that is overloaded takes
#: 0.3 s.
STORE_TIMEOUT_S = 1.0


class StoreAwayError(Exception):
    """A shared store does not answer, or not in time. The message holds no password."""


class StoreCall(NamedTuple):
    """Charges under a name that no other call has: a store counts each name once."""

    name: str
    charges: Sequence[Charge]


#: How long a store knows the names of calls. A call that is sent again later than that, because
#: the store could not be reached for so long, may count twice.
CALL_KEPT_S = 600
#: A gateway that has not checked in for this long shares the store no longer: then its requests
#: under way have ended, or their lease has (``LEASE``).
PRESENT_S = 60


class StoreState(NamedTuple):
    """What a gateway learns of its store when it checks in."""

    #: Another one where the store has forgotten what it held.
    contents: str
    #: Gateways that have checked in lately, this one included.
    gateways: int


class SharedStore(Protocol):
    """A database that holds the counts of several gateways. All of it raises ``StoreAwayError``."""

    async def check_in(self, gateway: str) -> StoreState:
        """Connect and prepare, where that is not done yet, and note that this gateway is there."""

    async def take(self, call: StoreCall) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit: in one step."""

    async def add(self, calls: Sequence[StoreCall]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""

    async def tidy(self, now: float) -> None:
        """Drop what no longer counts, where the store does not do that by itself."""

    async def close(self) -> None:
        """Disconnect."""
