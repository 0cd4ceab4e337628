"""The last recorded run of each benchmark, in ``data/last_runs.toml``: the docs take figures there.

A benchmark with ``--record`` records its run itself. For another:
``python benchmarks/last_runs.py NAME FIGURE=VALUE ...``; then ``make docs-write``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import tomlkit

FILE = Path(__file__).parent / "data" / "last_runs.toml"


def record(name: str, figures: Mapping[str, float | str]) -> None:
    """Write a run's figures, with the day and what else the machine did."""
    runs = tomlkit.parse(FILE.read_text(encoding="utf-8"))
    run = runs.setdefault(name, tomlkit.table())
    run.update(figures)
    run["on"] = date.today()
    run["machine"] = f"{os.cpu_count()} cores at load {os.getloadavg()[0]:.0f}"
    FILE.write_text(tomlkit.dumps(runs), encoding="utf-8")


def _value(text: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    record(sys.argv[1], {k: _value(v) for k, v in (pair.split("=", 1) for pair in sys.argv[2:])})
