"""What each owner used of each model, and how much of their quotas is gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stoker.gateway.limiting.caller_limiter import Reservation
from stoker.gateway.limiting.counters import Charge
from stoker.gateway.usage import genai_conventions as genai
from stoker.gateway.usage.tallies import Tally, TallyCounter
from stoker.usage_records import UsageRow

#: Owners that have series of their own: the largest site that Stoker is made for. Each has five
#: for a model, and Prometheus holds a series in about 4 KB.
MOST_OWNERS = 500
#: All owners beyond that, and one who is called so.
OTHER = "other"
#: An owner without a request for this long has no series any more: most have left, or their keys
#: were revoked.
IDLE_S = 86_400
#: A longer name is no person's; a token of a sign-on may hold one of any length.
_MOST_CHARS = 128
_LABELS = [
    "owner",
    *(genai.in_prometheus(name) for name in (genai.OPERATION, genai.PROVIDER, genai.REQUEST_MODEL)),
]

_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class _OwnCounters:
    """The counters of one owner at one model."""

    requests: Tally
    input_tokens: Tally
    output_tokens: Tally
    cached: Tally
    reasoning: Tally

    def add(self, row: UsageRow) -> None:
        self.requests.inc()
        self.input_tokens.inc(row.prompt_tokens or 0)
        self.output_tokens.inc(row.completion_tokens or 0)
        self.cached.inc(row.cached_tokens or 0)
        self.reasoning.inc(row.reasoning_tokens or 0)


class OwnerUse:
    """Counters by owner, in a registry of their own: they are for those who may see who asks."""

    def __init__(
        self, most_owners: int = MOST_OWNERS, clock: Callable[[], float] = time.time
    ) -> None:
        self.registry = CollectorRegistry()
        self._most_owners = most_owners
        self._clock = clock
        self._counters = tuple(self._counter(name, text) for name, text in _COUNTERS)
        self._quotas = _Quotas(clock)
        self.registry.register(self._quotas)
        self._known: dict[_Key, _OwnCounters] = {}
        #: When each owner's last request ended.
        self._seen: dict[str, float] = {}

    def note(self, row: UsageRow, provider: str) -> None:
        """Count a request that has ended."""
        owner = self._shown(row.owner)
        key = (owner, genai.operation_of(row.path), provider, row.model)
        counters = self._known.get(key)
        if counters is None:
            children = (counter.labels(*key) for counter in self._counters)
            counters = self._known[key] = _OwnCounters(*children)
        counters.add(row)

    def note_quotas(self, owner: str, reservation: Reservation) -> None:
        """Take on how much of a day's and a month's quotas was gone before this request.

        What is reserved for the request itself is mostly given back at its end.
        """
        if not reservation.plan.quotas:
            return
        label, (taken, uses) = self._shown(owner), reservation.outcome
        if label == OTHER:
            return  # quotas of several owners have no sum
        for at in reservation.plan.quotas:
            charge = reservation.charges[at]
            before = uses[at].total - (charge.amount if taken else 0)
            self._quotas.known[label, charge.counter.name] = _Quota(label, charge, before)

    def forget_idle(self) -> None:
        """Drop the series of owners who no longer ask, which makes room for others."""
        oldest = self._clock() - IDLE_S
        idle = {owner for owner, seen in self._seen.items() if seen < oldest}
        for key in [key for key in self._known if key[0] in idle]:
            del self._known[key]
            for counter in self._counters:
                counter.remove(*key)
        for owner in idle:
            del self._seen[owner]
        self._quotas.keep_those_of(self._seen)

    def _shown(self, owner: str) -> str:
        """The label of an owner. Its use is noted, so that it keeps its series."""
        if owner in self._seen:
            self._seen[owner] = self._clock()
            return owner
        name = owner.encode("utf-8", "replace").decode()
        is_new = name not in self._seen
        if is_new and (len(self._seen) >= self._most_owners or len(name) > _MOST_CHARS):
            return OTHER
        self._seen[name] = self._clock()
        return name

    def _counter(self, name: str, text: str) -> TallyCounter:
        return TallyCounter(name, text, _LABELS, self.registry)


#: In the order of ``_OwnCounters``.
_COUNTERS = (
    ("stoker_owner_requests", "Requests of an owner that were let through to a model"),
    (
        genai.in_prometheus(genai.USAGE_INPUT_TOKENS),
        "Tokens of an owner's prompts, those from the engine's cache among them",
    ),
    (
        genai.in_prometheus(genai.USAGE_OUTPUT_TOKENS),
        "Tokens of an owner's answers, those of reasoning among them",
    ),
    (
        genai.in_prometheus(genai.USAGE_CACHE_READ),
        "Tokens of an owner's prompts that came from the engine's cache",
    ),
    (genai.in_prometheus(genai.USAGE_REASONING), "Tokens of reasoning in an owner's answers"),
)


class _Quota(NamedTuple):
    """What a request found counted; all that is shown of it is worked out when it is shown."""

    owner: str
    charge: Charge
    before: int

    @property
    def kind(self) -> str:
        """Its name as a label."""
        counter = self.charge.counter
        return f"{counter.kind}_per_{counter.window.name}"

    @property
    def used(self) -> float:
        """How much of it was gone; 1 is all."""
        return self.before / self.charge.counter.limit

    @property
    def ends_at(self) -> float:
        """When it begins again."""
        return self.charge.counter.window.end_of(self.charge.bucket)


class _Quotas(Collector):
    """Each quota of a day or a month as its owner's last request found it, until it ends."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        #: By owner and counter.
        self.known: dict[tuple[str, str], _Quota] = {}

    def keep_those_of(self, owners: Container[str]) -> None:
        """Forget quotas of all others, and of days and months that have ended."""
        now, known = self._clock(), self.known.items()
        self.known = {k: b for k, b in known if b.ends_at > now and b.owner in owners}

    def collect(self) -> Iterator[Metric]:
        """One value for an owner and a kind: where several keys have such a quota, the fullest."""
        fullest: dict[tuple[str, str], float] = {}
        for quota in list(self.known.values()):
            key = (quota.owner, quota.kind)
            fullest[key] = max(quota.used, fullest.get(key, 0.0))
        family = GaugeMetricFamily(
            "stoker_quota_used_ratio",
            "How much of a day's or a month's quota its owner's last request found used; 1 is all",
            labels=["owner", "quota"],
        )
        for key, used in fullest.items():
            family.add_metric(key, used)
        yield family
