"""Which counters a request meets: those of its key, and those of the rules for its model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from stoker.access.caller import Caller, CallerLimits, matches
from stoker.gateway.limiting.counters import COST_UNIT, Counter, Kind
from stoker.gateway.limiting.use_windows import CALENDAR, DAY, LEASE, MINUTE, MONTH, Window
from stoker.recent_values import RecentValues

#: Callers and models whose counters are remembered: finding them costs 10 us, remembering 1 KB.
_PLANS_KEPT = 8192


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Limits of every request to some models by some owners."""

    limits: CallerLimits
    #: Patterns, which may hold ``*``.
    model: str = "*"
    owner: str = "*"
    #: Each owner by itself; otherwise all owners together.
    per_owner: bool = True

    def applies(self, owner: str, model: str) -> bool:
        """Whether it limits this request."""
        return matches(model, self.model) and matches(owner, self.owner)


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What a million tokens of some models cost, in any one currency."""

    model: str
    input_per_million: float = 0.0
    output_per_million: float = 0.0

    def cost(self, prompt: int, answer: int) -> int:
        """The cost of a request, in millionths of the currency."""
        return round(prompt * self.input_per_million + answer * self.output_per_million)


FREE = TokenPrice("*")


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """The counters that a request meets, and the price of its tokens."""

    counters: tuple[Counter, ...]
    price: TokenPrice
    #: Which of the counters are quotas, of a day or a month.
    quotas: tuple[int, ...] = field(init=False)
    #: Which of them are reported to clients, by their kind.
    reported: tuple[tuple[Kind, tuple[int, ...]], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Look through the counters once, and not with each request."""
        numbered = list(enumerate(self.counters))
        quotas = tuple(at for at, counter in numbered if counter.window in CALENDAR)
        kinds: tuple[Kind, ...] = ("requests", "tokens")
        places = ((kind, tuple(at for at, c in numbered if c.kind == kind)) for kind in kinds)
        object.__setattr__(self, "quotas", quotas)
        object.__setattr__(self, "reported", tuple(each for each in places if each[1]))


class LimitPlans:
    """The plan of each caller at each model, by the rules of the configuration."""

    def __init__(self, rules: Sequence[LimitRule] = (), prices: Sequence[TokenPrice] = ()) -> None:
        self._rules = rules
        self._prices = prices
        self._plans: RecentValues[tuple[Caller, str], LimitPlan] = RecentValues(_PLANS_KEPT)

    def of(self, caller: Caller, model: str) -> LimitPlan:
        """The plan of a request."""
        key = (caller, model)
        plan = self._plans.get(key)
        if plan is None:
            lowest: dict[str, Counter] = {}
            for counter in self._counters(caller, model):
                known = lowest.setdefault(counter.name, counter)
                if counter.limit < known.limit:  # two rules with the same patterns
                    lowest[counter.name] = counter
            plan = LimitPlan(tuple(lowest.values()), self._price(model))
            self._plans.put(key, plan)
        return plan

    def _counters(self, caller: Caller, model: str) -> Iterator[Counter]:
        yield from _counters_of(caller.limits, _name("key", caller.owner, caller.limits_id))
        for rule in self._rules:
            if rule.applies(caller.owner, model):
                counted = [caller.owner] if rule.per_owner else []
                name = _name("limit", rule.model, rule.owner, *counted)
                yield from _counters_of(rule.limits, name)

    def _price(self, model: str) -> TokenPrice:
        return next((p for p in self._prices if matches(model, p.model)), FREE)


def _counters_of(limits: CallerLimits, name: str) -> Iterator[Counter]:
    rows: tuple[tuple[Kind, Window, float | None], ...] = (
        ("requests", MINUTE, limits.requests_per_minute),
        ("tokens", MINUTE, limits.tokens_per_minute),
        ("tokens", DAY, limits.tokens_per_day),
        ("tokens", MONTH, limits.tokens_per_month),
        ("cost", DAY, _in_units(limits.cost_per_day)),
        ("cost", MONTH, _in_units(limits.cost_per_month)),
        ("concurrent", LEASE, limits.max_concurrent),
    )
    for kind, window, limit in rows:
        if limit is not None:
            yield Counter(f"{name}:{kind}:{window.name}", kind, int(limit), window)


def _in_units(cost: float | None) -> int | None:
    return None if cost is None else round(cost * COST_UNIT)


def _name(*parts: str) -> str:
    """A name that no other parts give, in characters that every store takes."""
    return ":".join(quote(part, safe="*", errors="replace") for part in parts)
