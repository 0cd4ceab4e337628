"""Suggestions replayed, in three steps, the second on any machine:

    PYTHONPATH=src:. python benchmarks/completion.py record requests.jsonl.gz
    python benchmarks/completion_answers.py MODEL.gguf requests.jsonl.gz ANSWERS
    PYTHONPATH=src:. python benchmarks/completion.py score ANSWERS/answers.jsonl.gz

The history of twelve packages (``completion_packages.py``) is typed again: at pauses drawn with a
fixed seed, in Python, TypeScript and Go, each way is asked for a suggestion, on the same engine
(llama.cpp) and the same model (Qwen2.5-Coder-0.5B), with the same files opened, edited and saved
before. The ways: llama.vscode's, written from its description and sent to the engine's own
``/infill``, as it samples and with its likeliest answer; and Stoker's, the extension's own code,
sent through the gateway. All run as on a machine that reads every prompt in time.

``record`` keeps what would be generated and answers each request with a letter; ``score`` runs the
same code again, with what the model wrote. No request hangs on an answer: of llama.vscode's ring it
is assumed that something was shown.

Goal: Stoker's way is better on all four figures (``completion_scores.py`` defines them).
``--json`` prints the figures as JSON, ``--rows FILE`` writes a line for each position and way.

Needs ``npm``, ``node``, ``apt-get`` and ``gofmt`` (Debian's golang-go) on the machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import (
    completion_engine,
    completion_packages,
    completion_recorder,
    completion_scores,
)
from benchmarks import llama_vscode_way as llama_vscode
from benchmarks.completion_driver import Driver
from benchmarks.completion_engine import Served2Ways
from benchmarks.completion_positions import Position, Session, sessions
from benchmarks.completion_recorder import Answer, Recorder
from benchmarks.completion_scores import Score, Suggestion
from benchmarks.completion_syntax import parses

SEED = 19
GOALS = ("exact_line", "edit_similarity", "characters_saved", "parses")
#: Characters of other files in a request: the extension's own number. With twice that, one exact
#: line of 60 was lost and similarity was 0.512 instead of 0.507.
_EXTRA_CHARS = 6000


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
    score: Score


Way = Callable[[Session], Iterator[Suggestion]]


def llama_vscode_way(served: Served2Ways, *, greedy: bool) -> Way:
    """Ask the engine itself, as llama.vscode does; ``greedy``: with its likeliest answer."""

    def answers(session: Session) -> Iterator[Suggestion]:
        ring = llama_vscode.Ring(random.Random(SEED))
        for event in session.history:
            ring.note(event)
        for position in session.positions:
            for event in position.events:
                ring.note(event)
            ring.idle()
            body = llama_vscode.request(position, ring.chunks)
            yield Suggestion(_infilled(served.engine_url, position, body, greedy))
            if body:
                # As if it had been shown something, so that requests do not hang on answers.
                ring.note_shown(session.path, position)

    return answers


def _infilled(url: str, position: Position, body: dict[str, Any] | None, greedy: bool) -> str:
    if body is None:
        return ""
    asked = {**body, "top_k": 1} if greedy else body
    answer = completion_engine.post(f"{url}/infill", asked)
    return llama_vscode.shown(answer["content"], position)


def stoker_way(driver: Driver) -> Way:
    """Let the extension's own code ask the gateway."""

    def answers(session: Session) -> Iterator[Suggestion]:
        driver.begin(session)
        for position in session.positions:
            yield driver.suggestion(session, position)

    return answers


def replay(ways: Mapping[str, Way], drawn: Sequence[Session], recorder: Recorder) -> Iterator[Row]:
    """Every session by each way in turn."""
    for number, session in enumerate(drawn, start=1):
        for name, way in ways.items():
            recorder.begin(f"{session.package} {session.path}", name)
            suggestions = list(way(session))
            if recorder.answers is not None:
                yield from _rows(name, session, suggestions)
        print(f"{number} of {len(drawn)} files", end="\r", file=sys.stderr, flush=True)


def _rows(way: str, session: Session, suggestions: Sequence[Suggestion]) -> Iterator[Row]:
    scored = completion_scores.scores(session.language, session.positions, suggestions)
    for position, each, score in zip(session.positions, suggestions, scored, strict=True):
        line = position.before.count("\n") + 1
        place = (session.language, session.package, session.path, line)
        yield Row(way, *place, position.typed, each.text, score)


@contextmanager
def all_ways(recorder: Recorder) -> Iterator[dict[str, Way]]:
    """The ways by name, for the length of the block."""
    with ExitStack() as stack:
        served = stack.enter_context(completion_engine.served(recorder=recorder))
        ways = {
            "llama.vscode": llama_vscode_way(served, greedy=False),
            "llama.vscode, greedy": llama_vscode_way(served, greedy=True),
        }
        ways["stoker"] = stoker_way(stack.enter_context(Driver(served, _EXTRA_CHARS)))
        recorder.requests.clear()
        yield ways


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """The four figures, and how many suggestions were shown."""
    shown = [row for row in rows if row.score.parses is not None]
    return {
        "positions": len(rows),
        "shown": len(shown),
        "exact_line": _mean([row.score.exact_line for row in rows]),
        "edit_similarity": _mean([row.score.edit_similarity for row in rows]),
        "characters_saved": sum(row.score.characters_saved for row in rows),
        "parses": _mean([bool(row.score.parses) for row in shown]),
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
    columns = ("exact line", "similarity", "saved", "parses", "shown")
    yield f"{'':34}" + "".join(f"{each:>12}" for each in columns)
    for way, by_language in found.items():
        for language, each in by_language.items():
            yield (
                f"{way + ', ' + language:34}{each['exact_line']:>12.1%}"
                f"{each['edit_similarity']:>12.3f}{each['characters_saved']:>12}"
                f"{each['parses']:>12.1%}{each['shown']:>12}"
            )
    for way in ("llama.vscode", "llama.vscode, greedy"):
        ours, theirs = found["stoker"]["all"], found[way]["all"]
        missed = [each for each in GOALS if ours[each] <= theirs[each]]
        yield f"beside {way}: " + (
            f"MISSED {', '.join(missed)}" if missed else "better on all four"
        )


def answers_of(file: Path) -> dict[str, Answer]:
    """What ``completion_answers.py`` wrote, by the requests' keys."""
    with gzip.open(file, "rt") as lines:
        found = [json.loads(line) for line in lines]
    return {each["key"]: completion_recorder.answer_of(each) for each in found}


def main() -> None:
    """Record, or score and print."""
    options = argparse.ArgumentParser(description="Suggestions replayed.")
    options.add_argument("step", choices=("record", "score"))
    options.add_argument("file", type=Path, help="requests to write, or answers to read")
    options.add_argument("--positions", type=int, default=330)
    options.add_argument("--language", help="only the positions in this language")
    options.add_argument("--rows", type=Path, help="a file for a line of JSON for each position")
    options.add_argument("--json", action="store_true", help="the figures as JSON")
    asked = options.parse_args()
    packages = (
        (each.language, each.name, *completion_packages.texts(each))
        for each in completion_packages.PACKAGES
    )
    drawn = [
        each
        for each in sessions(packages, asked.positions, SEED, parses)
        if asked.language in (None, each.language)
    ]
    recorder = Recorder(answers_of(asked.file) if asked.step == "score" else None)
    with all_ways(recorder) as ways:
        rows = list(replay(ways, drawn, recorder))
    if asked.step == "record":
        with gzip.open(asked.file, "wt") as file:
            file.writelines(json.dumps(each) + "\n" for each in recorder.requests.values())
        return
    if asked.rows:
        asked.rows.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    found = report(rows)
    print(json.dumps(found, indent=2) if asked.json else "\n".join(table(found)))


if __name__ == "__main__":
    main()
