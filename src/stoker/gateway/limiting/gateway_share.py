"""What one gateway may take while the store that it shares with others is away."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stoker.gateway.limiting.counters import Charge, CountedUse, Counter, Outcome
from stoker.gateway.limiting.memory_counters import MemoryCounters


class GatewayShare:
    """The counts that the store held last, and what was taken since then without it.

    Every gateway knows what was left. Each takes as if all others took as much as it does, so that
    together they take no more than that. A limit of requests at the same time is divided evenly, as
    those of the other gateways end without a word; until their leases end, they count.
    """

    def __init__(self, own: MemoryCounters) -> None:
        """``own`` holds all that this gateway has counted, with the store and without."""
        self._own = own
        self._held: dict[str, tuple[Counter, CountedUse]] = {}
        self._since = MemoryCounters()
        #: Gateways that share the store, this one included.
        self.gateways = 1

    def note(self, charges: Sequence[Charge], outcome: Outcome) -> None:
        """The store answered this. The request reads the outcome later: it is not to change."""
        for charge, use in zip(charges, outcome.uses, strict=True):
            self._held[charge.counter.name] = charge.counter, use.copy()

    def end(self) -> None:
        """The store is back, and holds what was taken since; until it answers, by this guess."""
        for counter, bucket, amount in self._since.all():
            _, use = self._held.setdefault(counter.name, (counter, CountedUse()))
            use.add(bucket, amount * self.gateways)
        self._since = MemoryCounters()

    def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds this gateway's share."""
        outcome = self.outcome(charges)
        if outcome.taken:
            self._own.add(charges)
            self.took(charges)
        return outcome

    def outcome(self, charges: Sequence[Charge]) -> Outcome:
        """What would come of these."""
        uses = [self._use(charge) for charge in charges]
        pairs = list(zip(uses, charges, strict=True))
        if any(use.total + charge.amount > charge.counter.limit for use, charge in pairs):
            return Outcome(False, uses)
        for use, charge in pairs:
            use.add(charge.bucket, charge.amount)
        return Outcome(True, uses)

    def took(self, charges: Sequence[Charge]) -> None:
        """These were taken, and count here until the store is used again."""
        self._since.add(charges)

    def add(self, charges: Collection[Charge], *, is_up: bool) -> None:
        """Count these whatever the limits are.

        What is given back while the store is away was taken since, or before: then it was in what
        the store held.
        """
        self._own.add(charges)
        for charge in charges:
            counter, bucket, amount = charge
            taken = 0 if is_up else self._since.use(counter).buckets.get(bucket, 0)
            if not is_up and (amount > 0 or taken >= -amount):
                self._since.add((charge,))
            elif counter.name in self._held:
                self._held[counter.name][1].add(bucket, amount)

    def tidy(self, now: float) -> None:
        """Forget what no longer counts."""
        self._since.tidy(now)
        for name, (counter, use) in list(self._held.items()):
            use.tidy_for(counter.window.bucket(now), counter.window)
            if not use.buckets:
                del self._held[name]

    def _use(self, charge: Charge) -> CountedUse:
        """What counts against a charge, as if the other gateways did as this one does."""
        counter, bucket, asked = charge
        since = self._since.use(counter, bucket)
        _, held = self._held.get(counter.name, (counter, CountedUse()))
        held.tidy_for(bucket, counter.window)
        if counter.kind == "concurrent":
            return self._at_once(charge, held.total + since.total)
        use = held.copy()
        for at, amount in since.buckets.items():
            use.add(at, amount * self.gateways)
        if since.total and self.gateways > 1:  # the first is taken wherever there is room for it
            use.add(bucket, asked * (self.gateways - 1))
        return use

    def _at_once(self, charge: Charge, known: int) -> CountedUse:
        """Of requests at the same time; ``known`` are those of all gateways."""
        counter, bucket, _ = charge
        use = self._own.use(counter, bucket).copy()
        of_others = counter.limit - max(1, counter.limit // self.gateways)
        use.add(bucket, max(of_others, known - use.total))
        return use
