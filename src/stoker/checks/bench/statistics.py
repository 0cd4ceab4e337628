"""Percentiles, throughput and ratios from timings. Pure: values in, values out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from stoker.checks.bench.request_timing import CUT_OFF, NOT_SENT, Timing
from stoker.sizing.estimates import quantile

#: A server that finishes requests at less than this share of the rate at which they arrive falls
#: behind: its queue, and with it the time to the first token, grows as long as the load lasts.
_KEEPS_UP_SHARE = 0.9
#: Resamples of a bootstrap interval. 2,000 put its ends within about 1 % of where more would
#: (Efron and Tibshirani, An Introduction to the Bootstrap, ask for 1,000 or more).
_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Distribution:
    """Percentiles of measured values, interpolated between neighbours."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Distribution | None:
        """The distribution of ``values``; ``None`` where there are none."""
        ordered = sorted(values)
        if not ordered:
            return None
        p50, p90, p95, p99 = (percentile(ordered, percent) for percent in (50, 90, 95, 99))
        return cls(len(ordered), p50, p90, p95, p99, ordered[0], ordered[-1])


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of the ``ordered`` values lie.

    Interpolated linearly between ranks, as numpy and R (type 7) do. Raises ``ValueError`` where
    there are no values.
    """
    if not ordered:
        raise ValueError("there is no percentile of an empty sequence")
    return quantile(ordered, percent / 100)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two medians, with its 95 % interval."""

    expected: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval shows which median is larger."""
        return not self.low <= 1 <= self.high


def median_ratio(
    base: Sequence[float], other: Sequence[float], *, seed: int = 0, resamples: int = _RESAMPLES
) -> Ratio | None:
    """``median(other) / median(base)`` with a percentile bootstrap interval.

    Each resample draws from both sides, with replacement and independently. ``None`` where a side
    is empty or a median is not positive.
    """
    if not base or not other or median(base) <= 0:
        return None
    rng = random.Random(seed)  # noqa: S311  (a resample, not a secret)
    ratios = sorted(
        median(rng.choices(other, k=len(other))) / below
        for _ in range(resamples)
        if (below := median(rng.choices(base, k=len(base)))) > 0
    )
    expected = median(other) / median(base)
    return Ratio(expected, percentile(ratios, 2.5), percentile(ratios, 97.5))


@dataclass(frozen=True, slots=True)
class Summary:
    """The statistics of one rung. Times are in seconds from when a request was due."""

    requests: int
    answered: int
    #: How many requests failed for each reason. Every request is answered or counted here.
    failures: Mapping[str, int]
    first_token_s: Distribution | None
    token_s: Distribution | None
    total_s: Distribution | None
    longest_gap_s: Distribution | None
    #: Medians, as the server counts them; ``None`` where it does not report them.
    prompt_tokens: float | None
    cached_tokens: float | None
    answer_tokens: float | None
    #: Tokens of all answers, and answers, per second while the load lasted.
    output_tokens_per_s: float
    answered_per_s: float
    #: Requests under way at once, on average (Little's law).
    in_flight: float
    #: Whether answers came as fast as requests; ``None`` where each request ran alone.
    keeps_up: bool | None
    #: The longest time between when a request was due and when the load generator sent it.
    sent_late_s: float

    @property
    def broken(self) -> dict[str, int]:
        """The failures that the endpoint caused, without those of requests that ran out of time."""
        not_its_fault = (CUT_OFF, NOT_SENT)
        return {why: count for why, count in self.failures.items() if why not in not_its_fault}


def summarise(
    rounds: Sequence[Sequence[Timing]], *, offered_per_s: float | None, alone_s: float | None
) -> Summary:
    """The summary of rounds that ran one after the other under the same load.

    ``alone_s`` is how long a request takes that runs alone. The last request of a round takes that
    long while no other arrives, which is no sign of falling behind.
    """
    timings = [timing for timings in rounds for timing in timings]
    good = [timing for timing in timings if timing.answered]
    lasted = sum(_lasted(timings) for timings in rounds) or float("inf")
    return Summary(
        requests=len(timings),
        answered=len(good),
        failures=dict(Counter(t.failure for t in timings if t.failure is not None)),
        first_token_s=Distribution.of(t.first_token_s for t in good),
        token_s=Distribution.of(t.token_s for t in good if t.token_s is not None),
        total_s=Distribution.of(t.total_s for t in good),
        longest_gap_s=Distribution.of(t.longest_gap_s for t in good if t.longest_gap_s is not None),
        prompt_tokens=_median(t.prompt_tokens for t in good),
        cached_tokens=_median(t.cached_tokens for t in good),
        answer_tokens=_median(t.answer_tokens for t in good),
        output_tokens_per_s=sum(t.tokens for t in good) / lasted,
        answered_per_s=len(good) / lasted,
        in_flight=sum(t.total_s for t in good) / lasted,
        keeps_up=_keeps_up(rounds, offered_per_s, alone_s),
        sent_late_s=max(
            (t.sent_s - t.arrival_s for t in timings if t.sent_s is not None), default=0
        ),
    )


def _lasted(timings: Sequence[Timing]) -> float:
    """From the first arrival of a round to the last piece of its last answer."""
    good = [timing for timing in timings if timing.answered]
    if not good:
        return 0.0
    return max(t.chunk_s[-1] for t in good) - min(t.arrival_s for t in timings)


def _keeps_up(
    rounds: Sequence[Sequence[Timing]], offered_per_s: float | None, alone_s: float | None
) -> bool | None:
    if offered_per_s is None or alone_s is None:
        return None
    timings = [timing for timings in rounds for timing in timings]
    if any(timing.failure in (CUT_OFF, NOT_SENT) for timing in timings):
        return False
    busy = sum(max(0.0, _lasted(timings) - alone_s) for timings in rounds)
    return busy == 0 or len(timings) / busy >= _KEEPS_UP_SHARE * offered_per_s


def _median(values: Iterable[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
