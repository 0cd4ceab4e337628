"""Suggestions replayed: ``PYTHONPATH=src:. python benchmarks/completion.py [--positions 300]``.

The history of twelve packages (``completion_packages.py``) is typed again: at pauses drawn with a
fixed seed, in Python, TypeScript and Go, each way is asked for a suggestion, on the same engine
(llama.cpp) and the same model (Qwen2.5-Coder-0.5B), with the same files opened, edited and saved
before. The ways: llama.vscode's, written from its description and sent to the engine's own
``/infill``; and Stoker's, the extension's own code, sent through the gateway.

Goal: Stoker's way is better on all four figures (``completion_scores.py`` defines them). Seconds
are of this machine, with a prompt as warm as its way keeps it. ``--json`` writes the figures,
``--rows FILE`` a line of JSON for each position and way.

Needs ``npm``, ``node``, ``apt-get`` and ``gofmt`` (Debian's golang-go) on the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import completion_engine, completion_packages, completion_scores
from benchmarks import llama_vscode_way as llama_vscode
from benchmarks.completion_driver import Driver
from benchmarks.completion_engine import Served2Ways
from benchmarks.completion_positions import Position, Session, sessions
from benchmarks.completion_scores import Score, Suggestion
from benchmarks.completion_syntax import parses

SEED = 19


@dataclass(frozen=True, slots=True)
class Answered:
    """What a way suggests, and how long that took."""

    suggestion: Suggestion
    seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One position, one way."""

    way: str
    language: str
    package: str
    path: str
    line: int
    typed: str
    suggested: str
    seconds: float
    score: Score


Way = Callable[[Session], Iterator[Answered]]


def llama_vscode_way(served: Served2Ways) -> Way:
    """Ask the engine itself, as llama.vscode does."""

    def answers(session: Session) -> Iterator[Answered]:
        ring = llama_vscode.Ring(random.Random(SEED))
        for event in session.history:
            ring.note(event)
        for position in session.positions:
            for event in position.events:
                ring.note(event)
            ring.idle()
            began = time.perf_counter()
            text = _infilled(served.engine_url, position, ring)
            yield Answered(Suggestion(text), time.perf_counter() - began)
            if text:
                ring.note_shown(session.path, position)

    return answers


def _infilled(url: str, position: Position, ring: llama_vscode.Ring) -> str:
    body = llama_vscode.request(position, ring.chunks)
    if body is None:
        return ""
    answer = completion_engine.post(f"{url}/infill", body)
    return llama_vscode.shown(answer["content"], position)


def stoker_way(driver: Driver) -> Way:
    """Let the extension's own code ask the gateway."""

    def answers(session: Session) -> Iterator[Answered]:
        driver.begin(session)
        for position in session.positions:
            began = time.perf_counter()
            suggestion = driver.suggestion(session, position)
            yield Answered(suggestion, time.perf_counter() - began)

    return answers


def replay(ways: dict[str, Way], drawn: Sequence[Session]) -> Iterator[Row]:
    """Every session by each way in turn."""
    for number, session in enumerate(drawn, start=1):
        for name, way in ways.items():
            answered = list(way(session))
            scored = completion_scores.scores(
                session.language, session.positions, [each.suggestion for each in answered]
            )
            for position, each, score in zip(session.positions, answered, scored, strict=True):
                yield Row(
                    name,
                    session.language,
                    session.package,
                    session.path,
                    position.before.count("\n") + 1,
                    position.typed,
                    each.suggestion.text,
                    round(each.seconds, 3),
                    score,
                )
        print(f"{number} of {len(drawn)} files", end="\r", file=sys.stderr, flush=True)


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """The four figures, how many suggestions were shown, and the median seconds."""
    shown = [row for row in rows if row.score.parses is not None]
    return {
        "positions": len(rows),
        "shown": len(shown),
        "exact_line": _mean([row.score.exact_line for row in rows]),
        "edit_similarity": _mean([row.score.edit_similarity for row in rows]),
        "characters_saved": sum(row.score.characters_saved for row in rows),
        "parses": _mean([bool(row.score.parses) for row in shown]),
        "median_s": statistics.median(row.seconds for row in rows),
    }


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 4) if values else 0.0


def report(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of each way, over all and by language."""
    languages = ["all", *dict.fromkeys(row.language for row in rows)]
    return {
        way: {
            language: figures(
                [row for row in rows if row.way == way and language in ("all", row.language)]
            )
            for language in languages
        }
        for way in dict.fromkeys(row.way for row in rows)
    }


def table(found: dict[str, Any]) -> Iterator[str]:
    """The figures as lines."""
    columns = ("exact line", "similarity", "saved", "parses", "shown", "median s")
    yield f"{'':26}" + "".join(f"{each:>12}" for each in columns)
    for way, by_language in found.items():
        for language, each in by_language.items():
            yield (
                f"{way + ', ' + language:26}{each['exact_line']:>12.1%}"
                f"{each['edit_similarity']:>12.3f}{each['characters_saved']:>12}"
                f"{each['parses']:>12.1%}{each['shown']:>12}{each['median_s']:>12.2f}"
            )
    if len(found) == 2:
        theirs, ours = (each["all"] for each in found.values())
        goals = ("exact_line", "edit_similarity", "characters_saved", "parses")
        missed = [goal for goal in goals if ours[goal] <= theirs[goal]]
        yield f"MISSED: {', '.join(missed)}" if missed else "better on all four"


def main() -> None:
    """Replay, and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--positions", type=int, default=300)
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--way", action="append", choices=("llama.vscode", "stoker"))
    options.add_argument("--rows", type=Path, help="a file for a line of JSON for each position")
    options.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = options.parse_args()
    packages = (
        (each.language, each.name, *completion_packages.texts(each))
        for each in completion_packages.PACKAGES
    )
    drawn = sessions(packages, asked.positions, asked.seed, parses)
    with ExitStack() as stack:
        served = stack.enter_context(completion_engine.served())
        ways: dict[str, Way] = {}
        if "llama.vscode" in (asked.way or ("llama.vscode",)):
            ways["llama.vscode"] = llama_vscode_way(served)
        if "stoker" in (asked.way or ("stoker",)):
            ways["stoker"] = stoker_way(stack.enter_context(Driver(served)))
        rows = []
        for row in replay(ways, drawn):
            rows.append(row)
            if asked.rows:
                with asked.rows.open("a") as file:
                    file.write(json.dumps(asdict(row)) + "\n")
    found = report(rows)
    print(json.dumps(found, indent=2) if asked.json else "\n".join(table(found)))


if __name__ == "__main__":
    main()
