"""How far ``stoker bench`` agrees with itself: five runs on one server, and their medians.

``python benchmarks/bench_repeat.py``: against ``--url``, or against the small model on real
llama.cpp, which it starts. Other options go to ``stoker bench``. Goal: each median lies
within 10 % of the median of the five.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.last_runs import record_table
from tests.support import real_models

from stoker.server.ports import any_free

MODEL = "smollm2-135m"
RUNS = 5
GOAL = 0.10
ServingLoad = tuple[str, str, float, str]


@contextlib.contextmanager
def endpoint(url: str | None) -> Iterator[str]:
    """The endpoint to measure; without ``url``, a new deployment of the small model."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        real_models.share_cache(Path(folder) / "cache")
        env = {**os.environ, "STOKER_HOME": folder}
        up = ["up", MODEL, "--offline", "--port", str(any_free()), "--json"]
        started = stoker(*up, env=env)
        try:
            yield json.loads(started)["endpoint"]
        finally:
            stoker("down", env=env)


def stoker(*arguments: str, env: dict[str, str] | None = None) -> str:
    """The output of the command; raises where it failed."""
    return subprocess.run(
        [sys.executable, "-m", "stoker", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def medians(document: dict[str, Any]) -> dict[ServingLoad, float]:
    """The median times and the throughput of each rung of one run."""
    found: dict[ServingLoad, float] = {}
    for rung in document["rungs"]:
        summary = rung["summary"]
        if summary["answered"] < summary["requests"]:
            raise SystemExit(f"not every request was answered: {summary['failures']}")
        state = "cached" if rung["cached"] else "cold"
        load = (rung["shape"], state, rung["concurrency"])
        found[(*load, "first token, ms")] = 1000 * summary["first_token_s"]["p50"]
        found[(*load, "per token, ms")] = 1000 * summary["token_s"]["p50"]
        found[(*load, "tokens/s")] = summary["output_tokens_per_s"]
    return found


def main() -> None:
    """Print every median of every run, and their spread."""
    # SIGTERM must not leave the deployment running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", help="the endpoint to measure; default: start the small model")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--record", action="store_true", help="write the table of the docs")
    known, options = parser.parse_known_args()
    runs = []
    with endpoint(known.url) as url:
        for number in range(known.runs):
            runs.append(medians(json.loads(stoker("bench", url, "--json", *options))))
            print(f"run {number + 1} of {known.runs}", file=sys.stderr)
    worst = 0.0
    offs: dict[str, list[float]] = {}
    for load in runs[0]:
        values = [run[load] for run in runs]
        middle = statistics.median(values)
        off = max(abs(value / middle - 1) for value in values)
        worst = max(worst, off)
        shape, state, concurrency, what = load
        together = "one at a time" if concurrency == 1 else "2 and 4 at once"
        offs.setdefault(f"{what.split(',')[0]}, {together}", []).append(off)
        listed = "".join(f"{value:9.1f}" for value in values)
        mark = "" if off <= GOAL else "  MISSED"
        name = f"{shape} {state}, {concurrency:g} at once, {what}"
        print(f"{name:46}{listed}   within {off:6.1%}{mark}")
    print(f"\nworst: {worst:.1%}; goal: {GOAL:.0%}")
    if known.record:
        head = ("medians of", "within, typically (half of the rungs)", "at worst")
        rows = [
            (name, f"{statistics.median(each):.1%}", f"{max(each):.1%}")
            for name, each in offs.items()
        ]
        record_table("bench_repeat", head, rows)


if __name__ == "__main__":
    main()
