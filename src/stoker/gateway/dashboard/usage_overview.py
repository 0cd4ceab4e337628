"""What each owner used today and this month, read from the usage records now and then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from stoker.errors import Problem, StokerError
from stoker.usage_records import Group, UsageStore, UsageTotal

#: Sums over a month may take a database a second: pages that are open share one reading.
_FRESH_S = 20.0
#: A page waits this long for a new reading, and shows the one before where that is not enough.
_PATIENCE_S = 1.5

Availability = Literal["off", "none", "waiting", "unreadable", "ready"]


@dataclass(frozen=True, slots=True)
class OwnerUsage:
    """One owner's requests and tokens; ``None`` for today where there were none."""

    owner: str
    today: UsageTotal | None
    month: UsageTotal


@dataclass(frozen=True, slots=True)
class SummedUsage:
    """The requests and tokens of all owners."""

    requests: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class UsageOverview:
    """The usage of all owners, those with the most tokens of this month first."""

    #: ``off``: nothing is recorded. ``none``: no request was recorded yet. ``waiting``: the
    #: database has not answered yet. ``unreadable``: ``problem`` has the reason.
    availability: Availability
    owners: tuple[OwnerUsage, ...] = ()
    today: SummedUsage = SummedUsage()
    month: SummedUsage = SummedUsage()
    problem: Problem | None = None


class UsageReader:
    """Reads the overview of one store, in a thread, at most once in ``_FRESH_S``."""

    def __init__(
        self,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._now = now
        self._clock = clock
        self._patience_s = patience_s
        self._last = UsageOverview("waiting")
        self._read_at = float("-inf")
        self._reading: asyncio.Future[UsageOverview] | None = None

    async def overview(self, store: UsageStore | None) -> UsageOverview:
        """The usage as it is now, or was a moment ago."""
        if store is None:
            return UsageOverview("off")
        if self._reading is None and self._clock() < self._read_at + _FRESH_S:
            return self._last
        if self._reading is None:
            read = asyncio.to_thread(read_overview, store, self._now())
            self._reading = asyncio.ensure_future(read)
        done, _ = await asyncio.wait({self._reading}, timeout=self._patience_s)
        for reading in done:
            self._reading, self._read_at = None, self._clock()
            self._last = reading.result()
        return self._last


def read_overview(store: UsageStore, now: float) -> UsageOverview:
    """The overview of a store at this time, in seconds since the epoch. Blocks; raises nothing."""
    if not store.exists:
        return UsageOverview("none")
    today = datetime.fromtimestamp(now, timezone.utc).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    try:
        day = store.totals(Group.OWNER, int(today.timestamp() * 1000))
        month = store.totals(Group.OWNER, int(today.replace(day=1).timestamp() * 1000))
    except StokerError as error:
        return UsageOverview("unreadable", problem=error.problem)
    owners = _by_owner(day, month)
    return UsageOverview("ready" if owners else "none", owners, _summed(day), _summed(month))


def _by_owner(day: Sequence[UsageTotal], month: Sequence[UsageTotal]) -> tuple[OwnerUsage, ...]:
    today = {each.group: each for each in day}
    owners = (OwnerUsage(str(each.group), today.get(each.group), each) for each in month)
    return tuple(sorted(owners, key=lambda each: (-tokens_of(each.month), each.owner)))


def _summed(totals: Sequence[UsageTotal]) -> SummedUsage:
    return SummedUsage(sum(each.requests for each in totals), sum(map(tokens_of, totals)))


def tokens_of(total: UsageTotal | None) -> int:
    """The tokens of prompts and answers together."""
    return total.prompt_tokens + total.completion_tokens if total is not None else 0
