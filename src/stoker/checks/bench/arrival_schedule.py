"""When requests are due, whether or not the server has answered those before: open-loop load."""

from __future__ import annotations

import random
from typing import Literal

Arrivals = Literal["poisson", "fixed"]


def schedule(count: int, per_s: float, arrivals: Arrivals, seed: int) -> list[float]:
    """Seconds at which ``count`` requests are due at a rate of ``per_s``, in order.

    Raises ``ValueError`` for a rate that is not positive.

    ``poisson`` draws them as people come, independent of each other. The number is given, and so
    is the rate: a Poisson process with a known number of arrivals in a time has them spread evenly
    at random over that time (Ross, Stochastic Processes, theorem 2.3.1). Drawing gaps instead
    would make the rate of a dozen requests miss by a third.
    """
    if per_s <= 0:
        raise ValueError(f"a rate of {per_s} requests a second")
    if arrivals == "fixed":
        return [index / per_s for index in range(count)]
    rng = random.Random(seed)  # noqa: S311  (a schedule, not a secret)
    return sorted(rng.uniform(0, count / per_s) for _ in range(count))
