"""Open-loop load: when each request is due, whether or not earlier ones have been answered."""

from __future__ import annotations

import random
from typing import Literal

Arrivals = Literal["poisson", "fixed"]


def schedule(count: int, per_s: float, arrivals: Arrivals, seed: int) -> list[float]:
    """Seconds at which ``count`` requests are due at a rate of ``per_s``, in order.

    Raises ``ValueError`` for a rate that is not positive.

    ``poisson`` draws arrivals that are independent of each other, like those of many users. Given
    their number, the arrivals of a Poisson process are uniformly distributed over the time (Ross,
    Stochastic Processes, theorem 2.3.1). Drawing the gaps instead would make the rate of a dozen
    requests vary by a third.
    """
    if per_s <= 0:
        raise ValueError(f"a rate of {per_s} requests a second")
    if arrivals == "fixed":
        return [index / per_s for index in range(count)]
    rng = random.Random(seed)  # noqa: S311  (a schedule, not a secret)
    return sorted(rng.uniform(0, count / per_s) for _ in range(count))
