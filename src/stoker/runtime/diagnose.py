"""Name the root cause in an engine's log, from the catalogue ``data/failures.toml``.

The first cause up the log is the one that counts: what follows it are its consequences. A cause
that the catalogue marks as a symptom ("Engine core initialization failed") counts only where no
other is found. Lines of an earlier start in the same log, and of a start that succeeded, are not
what is asked about, so a new start or a ready server clears what was found before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

from stoker.data import table

#: What a log says when an engine starts, or can be used: whatever came before did not end it.
_FRESH_STARTS = (
    "vLLM API server version",  # vLLM to 0.16
    "non-default args:",  # vLLM
    "Application startup complete",  # vLLM, ready
    "stoker: ready on",  # llama.cpp under Stoker, ready
    " started as process ",  # Stoker's supervisor
)
#: What vLLM says first when it is told to stop. The errors that follow are of the stopping.
_ORDERED_ENDS = ("[shutdown] API server: shutdown triggered", "INFO:     Shutting down")
#: Lines looked at together: enough for one search through them to be cheap for each line.
_BLOCK_LINES = 512
#: Of a line that long (a dumped configuration, mostly) only the first part can be a message.
_MAX_LINE = 20_000
#: ``{name}`` stands for a word, ``{name...}`` for anything within the line.
_PLACEHOLDER = re.compile(r"\{(\w+)(\.\.\.)?\}")
_CAPTURE_MAX = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """An argument with which the engine can safely be started again unasked."""

    argument: str
    value: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why an engine failed. ``fix`` is what to do; ``line`` is where the log says so."""

    id: str
    title: str
    cause: str
    fix: str
    link: str
    line: str
    #: Counted from 1, in what was read.
    line_number: int
    symptom: bool
    #: Causes that this one, further down a log, makes more precise.
    refines: tuple[str, ...] = ()
    #: What the log says of it: numbers and names by the catalogue's placeholders.
    known: Mapping[str, str] = field(default_factory=dict)
    change: Change | None = None


def diagnose(lines: Iterable[str], engine: str | None = None) -> Diagnosis | None:
    """The root cause in a log, or ``None`` where the catalogue knows none of its lines.

    ``engine`` leaves out what only other engines print. Time is linear in the log's length.
    """
    reader = Reader(engine)
    source = iter(lines)
    while block := list(islice(source, _BLOCK_LINES)):
        reader.feed(block)
    return reader.verdict()


class Reader:
    """The same for a log that is still being written: ``feed`` it, ask for the ``verdict``."""

    def __init__(self, engine: str | None = None) -> None:
        self._patterns = [p for p in _patterns() if engine is None or p.concerns(engine)]
        self._count = 0
        self._ended = False
        self._root: Diagnosis | None = None
        self._symptom: Diagnosis | None = None

    def feed(self, lines: Sequence[str]) -> None:
        """Read on."""
        text = "\n".join(lines)
        needed = [p for p in self._patterns if p.needle in text]
        if needed or any(mark in text for mark in _FRESH_STARTS + _ORDERED_ENDS):
            for number, line in enumerate(lines, self._count + 1):
                self._look(line[:_MAX_LINE], number, needed)
        self._count += len(lines)

    def verdict(self) -> Diagnosis | None:
        """The root cause in what was read so far."""
        return self._root or self._symptom

    def _look(self, line: str, number: int, patterns: Sequence[_Pattern]) -> None:
        if any(mark in line for mark in _FRESH_STARTS):
            self._root = self._symptom = None
            self._ended = False
        self._ended = self._ended or any(mark in line for mark in _ORDERED_ENDS)
        found = None if self._ended else next(_matches(line, number, patterns), None)
        if found is None:
            return
        if found.symptom:
            self._symptom = self._symptom or found
        elif self._root is None or _more_precise(found, self._root):
            self._root = found


def _more_precise(found: Diagnosis, first: Diagnosis) -> bool:
    """Whether a line further down says more of the same: a traceback shows the source first."""
    if found.id == first.id:
        return len(found.known) > len(first.known)
    return first.id in found.refines


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One wording of one cause. ``needle`` is the part of it that is the same every time."""

    cause: Mapping[str, Any]
    needle: str
    regex: re.Pattern[str]

    def concerns(self, engine: str) -> bool:
        return engine in self.cause.get("engines", (engine,))


@cache
def _patterns() -> tuple[_Pattern, ...]:
    return tuple(
        _Pattern(cause, *_compile(wording["text"]))
        for cause in table("failures")["cause"]
        for wording in cause["texts"]
    )


def _compile(text: str) -> tuple[str, re.Pattern[str]]:
    pieces, regex, end = [], "", 0
    for hole in _PLACEHOLDER.finditer(text):
        pieces.append(text[end : hole.start()])
        kind = "." if hole[2] else r"\S"
        lazy = "?" if hole.end() < len(text) else ""  # the last one goes on to the line's end
        regex += f"{re.escape(pieces[-1])}(?P<{hole[1]}>{kind}{{1,{_CAPTURE_MAX}}}{lazy})"
        end = hole.end()
    pieces.append(text[end:])
    return max(pieces, key=len), re.compile(regex + re.escape(pieces[-1]))


def _matches(line: str, number: int, patterns: Sequence[_Pattern]) -> Iterator[Diagnosis]:
    for pattern in patterns:
        if pattern.needle not in line:
            continue
        match = pattern.regex.search(line)
        if match:
            # vLLM prints some whole numbers as 8192.0.
            known = {k: v.strip().removesuffix(".0") for k, v in match.groupdict().items()}
            yield _diagnosis(pattern.cause, known, line, number)


def _diagnosis(
    cause: Mapping[str, Any], known: Mapping[str, str], line: str, number: int
) -> Diagnosis:
    retry = cause.get("retry")
    value = _filled(retry["value"], known) if retry else None
    return Diagnosis(
        id=cause["id"],
        title=cause["title"],
        cause=cause["cause"],
        fix=next(f for f in (_filled(fix, known) for fix in cause["fixes"]) if f),
        link=cause["link"],
        line=line.strip(),
        line_number=number,
        symptom=cause.get("symptom", False),
        refines=tuple(cause.get("refines", ())),
        known=known,
        change=Change(retry["argument"], value) if retry and value else None,
    )


def _filled(text: str, known: Mapping[str, str]) -> str | None:
    """``text`` with its placeholders filled in; ``None`` where one of them is not known."""
    names = {hole[1] for hole in _PLACEHOLDER.finditer(text)}
    return _PLACEHOLDER.sub(lambda hole: known[hole[1]], text) if names <= known.keys() else None
