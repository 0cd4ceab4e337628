"""Name the root cause in an engine's log, from the catalogue ``data/failures.toml``.

The first cause up the log is the one that counts: what follows it are its consequences. A cause
that the catalogue marks as a symptom ("Engine core initialization failed") counts only where no
other is found, and so does a line after which the engine continues. Lines of an earlier start in
the same log, and of a start that succeeded, are irrelevant, so a new start or a ready server clears
what was found before it. From then on only what can end a server counts: the rest is about one
client's request.

Where the catalogue knows no cause, the error that the log itself names is given, as not known.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from typing import Any

from stoker import engines
from stoker.data.facts import load_table
from stoker.engines import LogMarks
from stoker.server.diagnosis.named_error import ErrorFinder, NamedError, is_warning, suspicious

#: A start of any engine as the supervisor logs it. The engines' own marks are ``LogMarks``.
_STARTS = (" started as process ", " started as container ")
#: After these a line quotes other text: a prompt, an answer, a value that was refused.
_QUOTES = (
    "Received request ",  # vLLM, each request; to 0.9 with its prompt
    "Generated response ",  # vLLM with --enable-log-outputs
    " details: prompt: ",  # vLLM 0.9 and later, when debugging
    "input_value=",  # pydantic
)
#: Where vLLM's log names a model of the hub. A path there may be one inside a container.
_MODEL_MARK = "with config: model="
_MODEL = re.compile(r"(?:non-default args: .*?'model': |with config: model=)'([\w.-]+/[\w.-]+)'")
#: In a fix: the command to call, with other flags than before.
_UP = re.compile(r"stoker up MODEL([^`]*)")
_FLAG = re.compile(r"--[\w-]+(?:[ =][^-\s]\S*)?")
#: Lines looked at together: enough for one search through them to be cheap for each line.
_BLOCK_LINES = 512
#: Of a line that long (a dumped configuration, mostly) only the first part can be a message.
_MAX_LINE = 20_000
#: ``{name}`` stands for a word, ``{name...}`` for anything within the line.
_PLACEHOLDER = re.compile(r"\{(\w+)(\.\.\.)?\}")
_CAPTURE_MAX = 1000
#: The ``Diagnosis.id`` of an error that the log names and the catalogue lacks.
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ArgumentChange:
    """An argument with which the engine can safely be started again without asking."""

    argument: str
    value: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why an engine failed. ``fix`` is what to do; ``line`` is the log line that shows it."""

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
    #: Numbers and names from the log, by the catalogue's placeholders.
    known: Mapping[str, str] = field(default_factory=dict)
    change: ArgumentChange | None = None
    #: A symptom that is less exact than any error that the log names.
    vague: bool = False

    @property
    def in_catalogue(self) -> bool:
        """Whether Stoker knows the cause; else it is the error that the log itself names."""
        return self.id != _UNKNOWN


def diagnose(
    lines: Iterable[str], engine: str | None = None, command: str | None = None
) -> Diagnosis | None:
    """The root cause in a log, or else the error that it names; ``None`` where it names none.

    ``engine`` leaves out what only other engines print. ``command`` is the ``stoker up`` that
    started it, which a fix repeats; without it the log may name the model. Time is linear in the
    log's length.
    """
    reader = Reader(engine, command)
    source = iter(lines)
    while block := list(islice(source, _BLOCK_LINES)):
        reader.feed(block)
    return reader.verdict()


class Reader:
    """The same for a log that is still being written: ``feed`` it, ask for the ``verdict``."""

    def __init__(self, engine: str | None = None, command: str | None = None) -> None:
        self._command = command
        #: With the model that the log names, where no command is known.
        self._logged: str | None = None
        self._serving = False
        self._patterns = [p for p in _patterns() if engine is None or p.concerns(engine)]
        self._marks = marks = _marks()
        self._turns = (*marks.starts, *marks.ready, *marks.ordered_ends, _MODEL_MARK)
        self._count = 0
        self._ended = False
        self._root: Diagnosis | None = None
        #: From a line after which the engine continues.
        self._tolerated: Diagnosis | None = None
        #: From a line that the engine itself logs as a warning.
        self._warned: Diagnosis | None = None
        self._symptom: Diagnosis | None = None
        self._errors = ErrorFinder()

    def feed(self, lines: Sequence[str]) -> None:
        """Read on."""
        text = "\n".join(lines)
        needed = [p for p in self._patterns if p.needle in text]
        turns = any(mark in text for mark in self._turns)
        if needed or turns or self._errors.waits or suspicious(text):
            for number, line in enumerate(lines, self._count + 1):
                self._look(line[:_MAX_LINE], number, needed)
        self._count += len(lines)

    def verdict(self) -> Diagnosis | None:
        """The root cause in what was read so far."""
        found = self._heaviest()
        command = self._command or self._logged
        if found is None or command is None:
            return found
        return replace(found, fix=with_command(found.fix, command))

    def _heaviest(self) -> Diagnosis | None:
        root, tolerated, symptom = self._root, self._tolerated, self._symptom
        if root is not None:
            return tolerated if tolerated and root.id in tolerated.refines else root
        named = self._named()
        if named is not None:
            return named
        tolerated = tolerated or self._warned
        if tolerated and symptom and tolerated.id in symptom.refines:
            return symptom
        return tolerated or symptom

    def _named(self) -> Diagnosis | None:
        """The error that the log names, where it is more exact than what the catalogue found."""
        error, symptom = self._errors.best, self._symptom
        if error is None or self._tolerated or (self._serving and symptom is None):
            return None  # of a server without a symptom: about one request
        if symptom and not symptom.vague and symptom.line_number < error.line_number:
            return None
        if symptom and error.rank != "raised":
            return None
        return _unknown(error)

    def _look(self, line: str, number: int, patterns: Sequence[_Pattern]) -> None:
        own = _unquoted(line)
        self._turn(own)
        if self._ended or any(text in own for text in _texts("harmless")):
            return
        if self._serving:
            patterns = [p for p in patterns if p.cause.get("serving", False)]
        found = next(_matches(own, number, patterns), None)
        tolerated = any(text in own for text in _texts("tolerated"))
        if found is not None:
            self._weigh(found, tolerated=tolerated)
        self._errors.settled = self._symptom is not None
        self._errors.read(own, number, known=tolerated or found is not None)

    def _turn(self, line: str) -> None:
        """Note where the engine starts, is ready, or was ordered to stop."""
        ready = any(mark in line for mark in self._marks.ready)
        if ready or any(mark in line for mark in self._marks.starts):
            self._root = self._tolerated = self._warned = self._symptom = None
            self._errors = ErrorFinder()
            self._ended = False
            self._serving = ready
        self._ended = self._ended or any(mark in line for mark in self._marks.ordered_ends)
        named = _MODEL.search(line)
        if named:
            self._logged = f"stoker up {named[1]}"

    def _weigh(self, found: Diagnosis, *, tolerated: bool) -> None:
        if tolerated:
            self._tolerated = self._tolerated or replace(found, symptom=True)
        elif is_warning(found.line):
            self._warned = self._warned or replace(found, symptom=True)
        elif found.symptom:
            self._symptom = self._symptom or found
        elif self._root is None or _more_precise(found, self._root):
            self._root = found


def _unknown(error: NamedError) -> Diagnosis:
    led_to = f" That led to: {error.led_to}." if error.led_to else ""
    return Diagnosis(
        id=_UNKNOWN,
        title="Stoker does not know this failure",
        cause=f"The log itself names this error: {error.text.rstrip('.')}.{led_to}",
        fix="Search the engine's own issues for that error. Another version of the engine may not "
        "have it: `stoker up MODEL --image IMAGE --replace`.",
        link="",
        line=error.line,
        line_number=error.line_number,
        symptom=False,
    )


def _marks() -> LogMarks:
    """What changes how the lines after it are read, in the logs of all engines."""
    marks = engines.log_marks()
    return replace(marks, starts=(*marks.starts, *_STARTS))


def _unquoted(line: str) -> str:
    """The part of a line that is the engine's own words."""
    starts = [at for at in map(line.find, _QUOTES) if at >= 0]
    return line[: min(starts)] if starts else line


def with_command(fix: str, command: str) -> str:
    """A fix of the catalogue whose commands are ``command``, but for the flags that they set."""

    def changed(found: re.Match[str]) -> str:
        new = {_flag_name(flag) for flag in _FLAG.findall(found[1])}
        kept = [word for word in shlex.split(command) if _flag_name(word) not in new]
        return shlex.join(kept) + found[1]

    return _UP.sub(changed, fix)


def _flag_name(flag: str) -> str:
    """``--context`` of ``--context 4096``, and ``--engine-arg=dtype`` of such an argument."""
    name, _, value = flag.replace(" ", "=", 1).partition("=")
    return f"{name}={value.partition('=')[0]}" if name == "--engine-arg" else name


def _more_precise(found: Diagnosis, first: Diagnosis) -> bool:
    """Whether a line further down is more exact: a traceback shows the source first."""
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
        for cause in load_table("failures")["cause"]
        for wording in cause["texts"]
    )


@cache
def _texts(kind: str) -> tuple[str, ...]:
    return tuple(line["text"] for line in load_table("failures")[kind])


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
        vague=cause.get("vague", False),
        refines=tuple(cause.get("refines", ())),
        known=known,
        change=ArgumentChange(retry["argument"], value) if retry and value is not None else None,
    )


def _filled(text: str, known: Mapping[str, str]) -> str | None:
    """``text`` with its placeholders filled in; ``None`` where one of them is not known."""
    names = {hole[1] for hole in _PLACEHOLDER.finditer(text)}
    return _PLACEHOLDER.sub(lambda hole: known[hole[1]], text) if names <= known.keys() else None
