"""The distributions that lengths and gaps are drawn from."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution, cut at ``least`` and ``most``.

    Lengths of prompts and answers and the gaps between them are heavy-tailed: most are short, and
    a few are a hundred times as long. ``sigma`` is the standard deviation of the logarithm; 0 gives
    ``median`` always.
    """

    median: float
    sigma: float = 0.0
    least: float = 0.0
    most: float = math.inf

    def __post_init__(self) -> None:
        if not (self.median > 0 and self.sigma >= 0 and self.least <= self.most):
            raise ValueError(f"no log-normal distribution: {self}")

    @classmethod
    def of(
        cls, median: float, mean: float, least: float = 0.0, most: float = math.inf
    ) -> LogNormal:
        """The one with this median and, before it is cut, this mean: median times e^(sigma^2/2)."""
        if mean < median:
            raise ValueError(f"the mean {mean} of a log-normal is not below its median {median}")
        return cls(median, math.sqrt(2 * math.log(mean / median)), least, most)

    def scaled(self, factor: float) -> LogNormal:
        """The same distribution in another unit."""
        return LogNormal(self.median * factor, self.sigma, self.least * factor, self.most * factor)

    def draw(self, rng: random.Random) -> float:
        """One value."""
        value = self.median
        if self.sigma:
            value *= math.exp(self.sigma * rng.gauss(0.0, 1.0))
        return min(self.most, max(self.least, value))

    def draw_count(self, rng: random.Random) -> int:
        """One whole number, at least 1."""
        return max(1, round(self.draw(rng)))
