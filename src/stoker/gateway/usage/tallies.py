"""Counters and histograms for Prometheus that cost a request as little as an addition.

``prometheus_client`` counts under a lock, for any number of threads: 20 counts of a request took
25 us. These are counted by the event loop alone; another thread may read them meanwhile.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector


class Tally:
    """One series of a counter."""

    __slots__ = ("created_at", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.created_at = time.time()

    def inc(self, amount: float = 1) -> None:
        """Count so much more; never a negative amount."""
        self.value += amount


class TallyCounter(Collector):
    """A counter with labels: ``labels`` gives the series to count in."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._series: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The series with these values, in the order of the labels."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = Tally()
        return series

    def remove(self, *values: str) -> None:
        """Drop a series."""
        self._series.pop(values, None)

    def describe(self) -> Iterator[Metric]:
        """Its name, for the registry."""
        yield CounterMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """All series as they are."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for key, series in list(self._series.items()):
            family.add_metric(key, series.value, created=series.created_at)
        yield family


class TallyBuckets:
    """One series of a histogram."""

    __slots__ = ("_bounds", "counts", "created_at", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        #: Of each bound those above the bound before it; the last has no bound.
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.created_at = time.time()

    def observe(self, value: float) -> None:
        """Count a value in its bucket."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class TallyHistogram(Collector):
    """A histogram with labels: ``labels`` gives the series to count in."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._shown = [*(repr(float(bound)) for bound in bounds), "+Inf"]
        self._series: dict[tuple[str, ...], TallyBuckets] = {}
        registry.register(self)

    def labels(self, *values: str) -> TallyBuckets:
        """The series with these values, in the order of the labels."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = TallyBuckets(self._bounds)
        return series

    def describe(self) -> Iterator[Metric]:
        """Its name, for the registry."""
        yield HistogramMetricFamily(self._name, self._text, labels=self._labels)

    def collect(self) -> Iterator[Metric]:
        """All series as they are."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for key, series in list(self._series.items()):
            below = accumulate(series.counts)
            family.add_metric(key, list(zip(self._shown, below, strict=True)), series.sum)
            created = dict(zip(self._labels, key, strict=True))
            family.add_sample(f"{self._name}_created", created, series.created_at)
        yield family
