"""Counts in this process: they cost microseconds, however many owners there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stoker.gateway.limiting.counters import Charge, CountedUse, Counter, Outcome


class MemoryCounters:
    """The counts by the counters' names. ``take`` is one step: nothing else runs meanwhile."""

    def __init__(self) -> None:
        self._uses: dict[str, CountedUse] = {}
        self._counters: dict[str, Counter] = {}

    def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit."""
        known = self._uses
        uses = []
        taken = True
        for counter, bucket, amount in charges:
            name, _, limit, window = counter
            use = known.get(name) or self._new(counter)
            if bucket != use.tidied_for:
                use.tidy_for(bucket, window)
            use.add(bucket, amount)
            if use.total > limit:
                taken = False
            uses.append(use)
        if not taken:
            for use, (_, bucket, amount) in zip(uses, charges, strict=True):
                use.add(bucket, -amount)
        return Outcome(taken, uses)

    def add(self, charges: Iterable[Charge]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        for counter, bucket, amount in charges:
            use = self._uses.get(counter.name) or self._new(counter)
            use.add(bucket, amount)

    def use(self, counter: Counter, newest: int | None = None) -> CountedUse:
        """What a counter holds, without what no longer counts beside the bucket ``newest``."""
        use = self._uses.get(counter.name) or CountedUse()
        if newest is not None:
            use.tidy_for(newest, counter.window)
        return use

    def tidy(self, now: float) -> None:
        """Forget counters that hold nothing any more."""
        for name, use in list(self._uses.items()):
            window = self._counters[name].window
            use.tidy_for(window.bucket(now), window)
            if not use.buckets:
                del self._uses[name], self._counters[name]

    def all(self) -> list[Charge]:
        """Everything that is counted."""
        return [
            Charge(self._counters[name], bucket, amount)
            for name, use in self._uses.items()
            for bucket, amount in use.buckets.items()
        ]

    def _new(self, counter: Counter) -> CountedUse:
        use = self._uses[counter.name] = CountedUse()
        self._counters[counter.name] = counter
        return use
