"""Values in the middle of a sentence that come from the program or from a benchmark's last run.

A page has ``<!-- fact: run usage_cost.more_us -->5.7<!-- /fact -->``, and its readers see 5.7.
``make docs`` fails where the value is not the source's; ``make docs-write`` writes it. The kinds:

- ``run BENCHMARK.FIGURE``: a figure of benchmarks/data/last_runs.toml; ``on`` is the date,
  ``machine`` what it ran on;
- ``speed NAME`` or ``speed NAME UNIT``: a coefficient of src/stoker/data/speed.toml, which
  benchmarks/calibrate_speed.py fits, with two digits, in a unit of ``SPEED_UNITS``;
- ``default COMMAND --OPTION``: the default of an option of ``stoker``;
- ``setting NAME``: the default of a setting of the VS Code extension;
- ``exit done``, ``exit failed``, ``exit misused``: an exit code.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from stoker.cli import app
from stoker.data.facts import load_table, tomllib
from stoker.errors import StokerError, UsageError

ROOT = Path(__file__).resolve().parent.parent
LAST_RUNS = ROOT / "benchmarks" / "data" / "last_runs.toml"
FACT = re.compile(r"(<!-- fact: ([a-z]+) ([^>]*?) -->)(.*?)(<!-- /fact -->)")

#: What a coefficient, in SI units, is multiplied by to have another.
SPEED_UNITS = {"": 1, "%": 100, "ms": 1e3, "TB/s": 1e-12}


@cache
def _last_runs() -> dict[str, dict[str, Any]]:
    return tomllib.loads(LAST_RUNS.read_text(encoding="utf-8"))


@cache
def _settings() -> dict[str, dict[str, Any]]:
    manifest = json.loads((ROOT / "extension" / "package.json").read_text(encoding="utf-8"))
    declared: dict[str, dict[str, Any]] = manifest["contributes"]["configuration"]["properties"]
    return declared


def _run(words: str) -> str:
    benchmark, _, figure = words.partition(".")
    value = _last_runs()[benchmark][figure]
    return f"{value:,}" if isinstance(value, int) else str(value)


def _speed(words: str) -> str:
    name, _, unit = words.partition(" ")
    value = load_table("speed")["efficiency"][name] * SPEED_UNITS[unit]
    return f"{value:#.2g}".rstrip(".")


def _default(words: str) -> str:
    *path, option = words.split()
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.get_command(None, name)
    (found,) = (each for each in command.params if option in each.opts)
    return str(getattr(found.default, "value", found.default))


def _setting(name: str) -> str:
    return json.dumps(_settings()[name]["default"])


def _exit(outcome: str) -> str:
    codes = {"done": 0, "failed": StokerError.exit_code, "misused": UsageError.exit_code}
    return str(codes[outcome])


KINDS: dict[str, Callable[[str], str]] = {
    "run": _run,
    "speed": _speed,
    "default": _default,
    "setting": _setting,
    "exit": _exit,
}


def value_of(kind: str, words: str) -> str:
    """The value of a fact. Raises ``ValueError`` where its source has none."""
    try:
        return KINDS[kind](words)
    except (AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"there is no fact {kind} {words}") from error


def wrong_facts(text: str) -> Iterator[str]:
    """The facts of a page that are not as their source has them."""
    for _, kind, words, written, _ in FACT.findall(text):
        try:
            right = value_of(kind, words)
        except ValueError as error:
            yield str(error)
            continue
        if written != right:
            yield f"{kind} {words} is {right}, and the page has {written}: make docs-write"


def written(text: str) -> str:
    """The page with every fact as its source has it."""
    return FACT.sub(lambda m: f"{m[1]}{value_of(m[2], m[3])}{m[5]}", text)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        before = page.read_text(encoding="utf-8")
        after = written(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"wrote {name}")
