"""What a shared store has still to count, in calls that have an effect once however often sent."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence

from stoker.gateway.limiting.counters import Charge, StoreCall

#: Charges that are sent together at most, so that a call ends in time.
SENT_AT_ONCE = 500
#: How long a call is sent again after a loss of the store, although it was answered. PostgreSQL
#: loses what it committed in its last 0.6 s (``synchronous_commit`` off: three times
#: ``wal_writer_delay``), Redis that of two seconds (``appendfsync everysec``).
_REPEATED_S = 5.0


class ChargeOutbox:
    """The calls of one gateway that wait, and those that were answered a moment ago.

    A call keeps its name when it is sent again: the store counts no name twice.
    """

    def __init__(self, gateway: str) -> None:
        """``gateway`` is a name that no other gateway has."""
        self._gateway = gateway
        self._numbers = itertools.count()
        #: Calls that may have been sent.
        self._calls: deque[StoreCall] = deque()
        #: Amounts that were in no call yet, by the counter's name and the bucket.
        self._unsent: dict[tuple[str, int], Charge] = {}
        self._answered: deque[tuple[float, StoreCall]] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not (self._calls or self._unsent)

    def gives_back(self, charges: Sequence[Charge]) -> bool:
        """Whether something of what these take is on its way back."""
        names = {charge.counter.name for charge in charges}
        waiting = itertools.chain(self._unsent.values(), *(call.charges for call in self._calls))
        return any(each.amount < 0 and each.counter.name in names for each in waiting)

    def call(self, charges: Sequence[Charge]) -> StoreCall:
        """A new call, which does not wait here."""
        return StoreCall(f"{self._gateway}:{next(self._numbers)}", charges)

    def note(self, charges: Iterable[Charge]) -> None:
        """Let these wait; amounts of one bucket become one."""
        for charge in charges:
            key = (charge.counter.name, charge.bucket)
            known = self._unsent.get(key)
            amount = charge.amount + (known.amount if known else 0)
            self._unsent[key] = charge._replace(amount=amount)

    def repeat(self, call: StoreCall) -> None:
        """Let a call wait of which it is not known whether the store counted it."""
        self._calls.append(call)

    def answered(self, call: StoreCall, now: float) -> None:
        """The store has counted a call. ``now`` is on any clock that goes on evenly."""
        answered = self._answered
        answered.append((now, call))
        while answered[0][0] < now - _REPEATED_S:
            answered.popleft()

    def first(self) -> list[StoreCall]:
        """The calls to be sent next. They wait until they are ``done``."""
        if not self._calls and self._unsent:
            count = min(len(self._unsent), SENT_AT_ONCE)
            self._calls.append(self.call([self._unsent.popitem()[1] for _ in range(count)]))
        found: list[StoreCall] = []
        charges = 0
        for call in self._calls:
            charges += len(call.charges)
            if found and charges > SENT_AT_ONCE:
                break
            found.append(call)
        return found

    def done(self, calls: Sequence[StoreCall], now: float) -> None:
        """The store has counted these, which ``first`` gave, unless they were replaced since."""
        for call in calls:
            if self._calls and self._calls[0] is call:
                self._calls.popleft()
                self.answered(call, now)

    def repeat_latest(self, now: float) -> None:
        """The store was lost: it may have forgotten what it answered last."""
        latest = [call for at, call in self._answered if at >= now - _REPEATED_S]
        self._answered.clear()
        self._calls.extendleft(reversed(latest))

    def replace(self, charges: Iterable[Charge]) -> None:
        """Let these alone wait: the store has forgotten everything."""
        self._calls.clear()
        self._answered.clear()
        self._unsent.clear()
        self.note(charges)

    def forget_outdated(self, now: float) -> None:
        """Drop amounts that no longer count. ``now`` is in seconds since 1970."""
        for key, (counter, bucket, _) in list(self._unsent.items()):
            if counter.window.end_of(bucket) < now:
                del self._unsent[key]
