"""What a simulation counts while it runs."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from stoker.sizing.estimates import Estimate, quantile
from stoker.sizing.in_flight import InFlight

_PERCENTILE = 0.95


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of the simulated time, for charts. Percentiles are ``None`` where nothing ended."""

    from_s: float
    to_s: float
    requests: int
    utilisation: float
    first_token_p95_s: float | None
    token_p95_s: float | None


class Recording:
    """Sums and times of the requests that came after the warm-up."""

    def __init__(self, duration_s: float, warm_up_s: float, replicas: int, slices: int) -> None:
        self._warm_up_s = warm_up_s
        self._duration_s = duration_s
        self._replicas = replicas
        self._slice_s = duration_s / slices
        self.requests = self.completed = self.refused = self.preemptions = 0
        self.prompt_tokens = self.cached_tokens = self.output_tokens = 0
        self.waiting_s = 0.0
        #: The integral of the requests in the fleet over the time that counts.
        self.in_fleet_s = 0.0
        self._in_fleet = 0
        self._changed_s = 0.0
        self.most_waiting = 0
        self.busy_s = [0.0] * replicas
        self._kinds: list[str] = []
        #: Of each request that was answered, in the order of the ends of their answers.
        self._kind = array("b")
        self._at_s = array("d")
        self._first_s = array("d")
        self._total_s = array("d")
        #: Negative where the answer was a single token.
        self._token_s = array("d")
        self._cached = array("q")
        self._prompt = array("q")
        self._busy_by_slice = [0.0] * slices
        self._arrivals = [0] * slices

    def arrived(self, at_s: float) -> None:
        """A request was sent."""
        self._count_until(at_s)
        self._in_fleet += 1
        self._arrivals[min(len(self._arrivals) - 1, int(at_s / self._slice_s))] += 1
        self.requests += at_s >= self._warm_up_s

    def refuse(self, at_s: float) -> None:
        """A request that was sent would be answered with an error."""
        self._in_fleet -= 1
        self.refused += at_s >= self._warm_up_s

    def busy(self, replica: int, began_s: float, ended_s: float) -> None:
        """A replica worked on steps."""
        end_s = min(ended_s, self._duration_s)
        self.busy_s[replica] += max(0.0, end_s - max(began_s, self._warm_up_s))
        at_s = began_s
        while at_s < end_s:
            part = min(len(self._busy_by_slice) - 1, int(at_s / self._slice_s))
            next_s = (part + 1) * self._slice_s
            until_s = min(end_s, next_s) if next_s > at_s else end_s
            self._busy_by_slice[part] += until_s - at_s
            at_s = until_s

    def answered(self, one: InFlight, now_s: float) -> None:
        """The last token of an answer was written."""
        self._count_until(now_s)
        self._in_fleet -= 1
        request, first_s = one.request, one.first_s
        at_s = request.at_s
        if at_s < self._warm_up_s or first_s is None or one.admitted_s is None:
            return
        output = one.goal - request.prompt_tokens
        self.completed += 1
        self.preemptions += one.preemptions
        self.prompt_tokens += request.prompt_tokens
        self.cached_tokens += one.cached_tokens
        self.output_tokens += output
        self.waiting_s += one.admitted_s - at_s
        self._kind.append(self._index(request.kind))
        self._at_s.append(at_s)
        self._first_s.append(first_s - at_s)
        self._total_s.append(now_s - at_s)
        self._token_s.append((now_s - first_s) / (output - 1) if output > 1 else -1.0)
        self._cached.append(one.cached_tokens)
        self._prompt.append(request.prompt_tokens)

    def kinds(self) -> Sequence[str]:
        """The kinds of request that were seen."""
        return self._kinds

    def first_token_s(self, kind: str | None = None) -> list[float]:
        """Times to first token, of all kinds or of one."""
        if kind is None:
            return self._first_s.tolist()
        index = self._kinds.index(kind)
        return [s for s, k in zip(self._first_s, self._kind, strict=True) if k == index]

    def total_s(self) -> list[float]:
        """Times to the end of the answer."""
        return self._total_s.tolist()

    def token_s(self, kind: str | None = None) -> list[float]:
        """Times per token of answers with more than one, of all kinds or of one."""
        index = None if kind is None else self._kinds.index(kind)
        return [
            s
            for s, k in zip(self._token_s, self._kind, strict=True)
            if s >= 0 and (index is None or k == index)
        ]

    def cached_share(self) -> Estimate:
        """The share of prompt tokens that caches held."""
        size = max(1, len(self._prompt) // 10)
        parts = []
        for i in range(0, len(self._prompt), size):
            prompt = sum(self._prompt[i : i + size])
            parts.append(sum(self._cached[i : i + size]) / prompt)
        return Estimate.of_sections(self.cached_tokens / max(1, self.prompt_tokens), parts)

    def slices(self) -> tuple[Slice, ...]:
        """The run in equal parts."""
        first: list[list[float]] = [[] for _ in self._arrivals]
        token: list[list[float]] = [[] for _ in self._arrivals]
        for at_s, first_s, token_s in zip(self._at_s, self._first_s, self._token_s, strict=True):
            part = min(len(first) - 1, int(at_s / self._slice_s))
            first[part].append(first_s)
            if token_s >= 0:
                token[part].append(token_s)
        return tuple(
            Slice(
                from_s=part * self._slice_s,
                to_s=(part + 1) * self._slice_s,
                requests=self._arrivals[part],
                utilisation=self._busy_by_slice[part] / self._slice_s / self._replicas,
                first_token_p95_s=_percentile(first[part]),
                token_p95_s=_percentile(token[part]),
            )
            for part in range(len(first))
        )

    def _count_until(self, now_s: float) -> None:
        if now_s > self._warm_up_s:
            end_s = min(now_s, self._duration_s)
            counted_s = max(0.0, end_s - max(self._changed_s, self._warm_up_s))
            self.in_fleet_s += self._in_fleet * counted_s
        self._changed_s = now_s

    def _index(self, kind: str) -> int:
        if kind not in self._kinds:
            self._kinds.append(kind)
        return self._kinds.index(kind)


def _percentile(values: list[float]) -> float | None:
    return quantile(sorted(values), _PERCENTILE) if values else None
