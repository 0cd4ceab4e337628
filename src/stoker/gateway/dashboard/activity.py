"""What the gateway did lately: speeds and waits, from its counters as they were a while ago.

Nothing is counted on the way of a request for it: the counters of ``Metrics`` are read every few
seconds, and what they grew by is what happened.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.registry import Collector

from stoker.gateway.usage.metrics import Metrics

#: Between two readings.
EVERY_S = 5.0
#: Speeds are means over this time, so that an answer of some seconds is no spike.
SPEED_S = 60.0
#: What is kept, and what the quantiles of the waits are of.
KEPT_S = 900.0


@dataclass(frozen=True, slots=True)
class CounterReading:
    """The counters at one moment, summed over models. ``at`` is in seconds on any clock."""

    at: float
    prompt_tokens: float = 0
    completion_tokens: float = 0
    #: The upper bounds of the waits for a first byte, in seconds, and how many were below each.
    waits: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """What happened lately. ``None`` where nothing did."""

    #: Means of the last minute. Tokens are counted when their answer ends.
    prompt_tokens_per_s: float
    completion_tokens_per_s: float
    #: Completion tokens a second since the oldest reading, a value for each half a minute.
    history: tuple[float, ...]
    #: Half of the first bytes of the last quarter of an hour came within the one, 19 of 20 within
    #: the other.
    first_byte_median_s: float | None
    first_byte_p95_s: float | None
    #: How many they were.
    first_bytes: int


class Activity:
    """Reads the counters of one gateway from time to time."""

    def __init__(self, metrics: Metrics, now: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._now = now
        self._readings = deque([self.read()], maxlen=int(KEPT_S / EVERY_S) + 1)

    async def keep(self) -> None:
        """Read the counters regularly; runs for ever."""
        while True:
            await asyncio.sleep(EVERY_S)
            self.note(await asyncio.to_thread(self.read))

    def note(self, reading: CounterReading) -> None:
        """Remember a reading."""
        self._readings.append(reading)

    def recent(self, now: CounterReading) -> RecentActivity:
        """What happened until this reading, which is of now."""
        return recent_activity([*self._readings, now])

    def read(self) -> CounterReading:
        """The counters as they are. Thousands of series take milliseconds: call it in a thread."""
        tokens = _sums(self._metrics.tokens, "kind")
        waits: dict[float, float] = {}
        for metric in self._metrics.ttft.collect():
            for sample in metric.samples:
                if sample.name.endswith("_bucket"):
                    bound = float(sample.labels["le"])
                    waits[bound] = waits.get(bound, 0) + sample.value
        return CounterReading(
            self._now(),
            tokens.get("prompt_tokens", 0),
            tokens.get("completion_tokens", 0),
            tuple(sorted(waits.items())),
        )


def counted(counter: Collector, label: str) -> dict[str, int]:
    """The counts of a counter by one of its labels, summed over the others."""
    return {name: int(value) for name, value in _sums(counter, label).items()}


def _sums(counter: Collector, label: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for metric in counter.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total"):
                name = sample.labels[label]
                sums[name] = sums.get(name, 0) + sample.value
    return sums


def recent_activity(readings: Sequence[CounterReading]) -> RecentActivity:
    """What happened between these readings, the last of which is of now. Pure."""
    last = readings[-1]
    before = next((r for r in readings if last.at - r.at <= SPEED_S), last)
    elapsed_s = max(last.at - before.at, EVERY_S)
    waits = _grown(readings[0].waits, last.waits)
    return RecentActivity(
        (last.prompt_tokens - before.prompt_tokens) / elapsed_s,
        (last.completion_tokens - before.completion_tokens) / elapsed_s,
        _history(readings),
        quantile(waits, 0.5),
        quantile(waits, 0.95),
        int(waits[-1][1]) if waits else 0,
    )


def _history(readings: Sequence[CounterReading]) -> tuple[float, ...]:
    """Completion tokens a second in each span of 30 s."""
    step = max(1, int(SPEED_S / 2 / EVERY_S))
    picked = list(readings)[::-step][::-1]
    return tuple(
        (after.completion_tokens - before.completion_tokens) / max(after.at - before.at, EVERY_S)
        for before, after in pairwise(picked)
    )


def _grown(
    before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]
) -> tuple[tuple[float, float], ...]:
    known = dict(before)
    return tuple((bound, count - known.get(bound, 0)) for bound, count in after)


def quantile(waits: Sequence[tuple[float, float]], part: float) -> float | None:
    """The wait that this part of all waits did not exceed, in seconds; ``None`` without any.

    ``waits`` are the buckets of a histogram, each with all below it. Within a bucket it is
    interpolated, and above the last bound it is that bound, as Prometheus' histogram_quantile does.
    """
    total = waits[-1][1] if waits else 0
    if not total:
        return None
    rank, lower, below = part * total, 0.0, 0.0
    for bound, count in waits:
        if count >= rank and count > below:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
