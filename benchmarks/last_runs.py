"""The last recorded run of each benchmark: the docs take figures and tables from here.

Figures are in ``data/last_runs.toml``, whole tables in ``data/last_tables.toml``. A benchmark with
``--record`` records its run itself. For figures of another:
``python benchmarks/last_runs.py NAME FIGURE=VALUE ...``; for a Markdown table that another prints:
``... | python benchmarks/last_runs.py --table NAME``. Then ``make docs-write``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

import tomlkit

_DATA = Path(__file__).parent / "data"
FILE = _DATA / "last_runs.toml"
#: What vitest writes before the first line that a test prints.
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
TABLES = _DATA / "last_tables.toml"


def record(name: str, figures: Mapping[str, float | str]) -> None:
    """Write a run's figures, with the day and what else the machine did."""
    runs = tomlkit.parse(FILE.read_text(encoding="utf-8"))
    run = runs.setdefault(name, tomlkit.table())
    run.update(figures)
    run["on"] = date.today()
    run["machine"] = _machine()
    FILE.write_text(tomlkit.dumps(runs), encoding="utf-8")


def record_table(
    name: str, head: Sequence[str], rows: Iterable[Sequence[object]], machine: str | None = None
) -> None:
    """Write a table, with the day and ``machine``: what it ran on, if not on this one, now.

    Raises ``ValueError`` where a row has more or fewer cells than ``head``.
    """
    lines = [head, ["---"] * len(head), *rows]
    if any(len(line) != len(head) for line in lines):
        raise ValueError(f"{name}: a row has not as many cells as the head: {lines}")
    _write_table(name, [f"| {' | '.join(map(str, line))} |" for line in lines], machine)


def _write_table(name: str, lines: Sequence[str], machine: str | None) -> None:
    if not lines:  # the benchmark failed: what it printed before stays
        raise ValueError(f"{name}: there is no table in what was printed")
    tables = tomlkit.parse(TABLES.read_text(encoding="utf-8"))
    table = tables.setdefault(name, tomlkit.table())
    table["on"] = date.today()
    table["machine"] = machine or _machine()
    table.pop("by_hand", None)
    rows = "\n".join(line.strip() for line in lines)
    table["rows"] = tomlkit.string(f"{rows}\n", multiline=True, literal=True)
    TABLES.write_text(tomlkit.dumps(tables), encoding="utf-8")


def _machine() -> str:
    return f"{os.cpu_count()} cores at load {os.getloadavg()[0]:.0f}"


def _value(text: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


if __name__ == "__main__":
    if sys.argv[1] == "--table":
        plain = (_COLOUR.sub("", line) for line in sys.stdin)
        _write_table(sys.argv[2], [line for line in plain if line.startswith("|")], None)
        sys.exit()
    record(sys.argv[1], {k: _value(v) for k, v in (pair.split("=", 1) for pair in sys.argv[2:])})
