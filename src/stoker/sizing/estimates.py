"""Figures from a simulation, with how sure they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Sections of a run whose figures are compared. Ten are usual for intervals from sections of one
#: run (Asmussen and Glynn, Stochastic Simulation, chapter III.5 on sectioning).
_SECTIONS = 10
#: Student's t for 95 % by degrees of freedom.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
#: A section with fewer values has no percentile worth comparing.
_LEAST_VALUES = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval, which is infinitely wide where too little was seen."""

    value: float
    low: float
    high: float

    @classmethod
    def of_sections(cls, value: float, sections: Sequence[float]) -> Estimate:
        """``value`` from all of a run, with the spread of its sections as the interval."""
        n = len(sections)
        if n < 2:
            return cls(value, 0.0, math.inf)
        mean = sum(sections) / n
        variance = sum((s - mean) ** 2 for s in sections) / (n - 1)
        half = _T95[min(n - 1, len(_T95)) - 1] * math.sqrt(variance / n)
        return cls(value, max(0.0, value - half), value + half)


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of seconds over all requests that were counted."""

    p50: Estimate
    p95: Estimate
    p99: Estimate
    mean: Estimate
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Latency | None:
        """The percentiles of ``values``, which are in the order of time. ``None`` without any."""
        if not values:
            return None
        size = max(_LEAST_VALUES, math.ceil(len(values) / _SECTIONS))
        parts = [sorted(values[i : i + size]) for i in range(0, len(values), size)]
        parts = [part for part in parts if len(part) >= _LEAST_VALUES]
        ordered = sorted(values)

        def percentile(percent: float) -> Estimate:
            return Estimate.of_sections(
                quantile(ordered, percent / 100), [quantile(part, percent / 100) for part in parts]
            )

        mean = Estimate.of_sections(
            sum(ordered) / len(ordered), [sum(part) / len(part) for part in parts]
        )
        return cls(percentile(50), percentile(95), percentile(99), mean, len(values))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the ``ordered`` values lie, interpolated (R's type 7)."""
    position = (len(ordered) - 1) * share
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
