"""The error that a log itself names, for a failure that the catalogue does not know.

Python prints it in the last line of a traceback. Of several the first one counts: it is of the
process that failed first, and what its parents raise are consequences. Programs that have no
tracebacks name it in the first of their last run of error lines: what follows there ("failed to
load model", "exiting") repeats it with less.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Literal

#: How well a line names the cause: as an exception, as an error in plain words, or as one that
#: only reports that another went before.
Rank = Literal["vague", "plain", "raised"]
_RANKS: tuple[Rank, ...] = ("vague", "plain", "raised")
#: Errors with more lines than this between them belong to different events.
_GAP_LINES = 100
#: A message can quote a whole configuration; this much of it is shown.
_SHOWN = 400

_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)
#: One piece of what engines, loggers and container tools put in front of a message. Each takes at
#: most one space after it, as the indentation of a traceback's lines counts.
_PREFIX = re.compile(
    r"""(?:
      \x1b\[[\d;]*m
    | [\w.-]+\s+\|(?=\s)                                    # docker compose
    | \((?P<process>\w+(?:\s\w+=\d+)+)[^)]*\)               # vLLM and Ray: (EngineCore_DP0 pid=9)
    | \[(?P<rank>rank\d+)\]:                                # torchrun
    | \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,:+Z]*(?:\ [A-Z]{2}\d+)*\]?  # SGLang: TP0
    | \d\d-\d\d\ \d\d:\d\d:\d\d(?:\.\d+)?
    | (?P<level>TRACE|DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL)(?=[:\s]):?
    | \[?[\w./-]+\.py:\d+\]
    | time=\S+                                              # Ollama
    | level=(?P<logfmt>[A-Z]+)
    | \[(?P<glog>[IWEF])\d{4}\ [^\]]*\]                     # PyTorch's C++ part
    | \d+\.\d\d\.\d{3}\.\d{3}\ (?P<llama>[IWED])(?=\s)      # llama.cpp, with --log-prefix
    )\s?""",
    re.VERBOSE,
)
_NO_ERRORS = frozenset(("TRACE", "DEBUG", "INFO", "WARNING", "WARN", "I", "W", "D"))

_DOTTED = r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*"
_EXCEPTION = re.compile(rf"(?P<name>{_DOTTED})(?:: (?P<message>.*)|:?\s*$)")
_RAISED = re.compile(rf"(?<![\w.'\"(])(?:{_DOTTED})?(?:Error|Exception)\b: ?\S.*")
_PLAIN = re.compile(
    r"(?<![<|])\b(?:error|fatal|failed|failure|cannot|can't|unable to|panicked at|undefined symbol"
    r"|segfault|segmentation fault|terminate called|assertion|not found)\b"
    r"|what\(\):|GGML_ASSERT|GGML_ABORT",
    re.IGNORECASE,
)
#: A warning, or a line of llama.cpp's dump of a file's metadata.
_NO_FAILURE = re.compile(r"\bwarn(?:ing)?\b|Warning\b|^usage:|- kv +\d+:", re.IGNORECASE)
#: What is raised or printed because something else failed before.
_VAGUE = re.compile(
    r"^(?:[\w.]*\.)?(?:SystemExit|KeyboardInterrupt|CancelledError|CalledProcessError|EOFError"
    r"|BrokenPipeError|ConnectionResetError|ProcessExitedException|ChildFailedError"
    r"|DistNetworkError|DistStoreError|ActorDiedError)\b"
    r"|Connection closed by peer|Connection reset by peer|Ninja build failed|Error compiling object"
    r"|failed to load model\b|exiting due to model loading error|failed to initialize the context"
    r"|failed to start\.?$|stack trace (?:above )?for the root cause|See stack trace",
    re.IGNORECASE,
)
#: These have their reason in the line after them.
_GOES_ON = re.compile(
    r"(?:validation errors? for \S+|:|panicked at \S+|throwing an instance of '[^']+')$"
)


@dataclass(frozen=True, slots=True)
class NamedError:
    """An error in the log's own words, without its logger's prefix. Lines count from 1."""

    text: str
    line: str
    line_number: int
    rank: Rank
    #: What was raised on account of it, in the same process.
    led_to: str = ""


@dataclass(frozen=True, slots=True)
class _Message:
    """A line without its prefix. Lines of one ``process`` belong together."""

    process: str
    level: str
    indent: int
    text: str


@dataclass(slots=True)
class _Traceback:
    indent: int
    #: The code of its innermost frame so far.
    code: str = ""


@dataclass(slots=True)
class ErrorFinder:
    """Reads a log line by line, and keeps the error that it names best."""

    #: A failure is proven: what comes much later belongs to something else.
    settled: bool = False
    _best: NamedError | None = None
    #: The best of what was found before, by then long ago.
    _earlier: NamedError | None = None
    _last_number: int = 0
    _open: dict[str, _Traceback] = field(default_factory=dict)
    #: The process whose last error the next traceback goes on from.
    _chained: str | None = None
    _unfinished: bool = False
    _of_process: str = ""

    @property
    def best(self) -> NamedError | None:
        """The error that names the cause best, of what was read so far."""
        return _better(self._best, self._earlier)

    @property
    def waits(self) -> bool:
        """Whether the next line counts whatever it holds."""
        return bool(self._open) or self._unfinished or self._chained is not None

    def read(self, line: str, number: int, *, known: bool) -> None:
        """Read on. ``known`` is a line that the catalogue already accounts for."""
        message = _message(line)
        if message.level in _NO_ERRORS:
            return
        if self._unfinished and self._best is not None:
            self._unfinished = False
            reason = message.text.partition(" [type=")[0]
            self._best = replace(self._best, text=f"{self._best.text} {reason}"[:_SHOWN])
        elif _TRACEBACK in message.text:
            self._open[message.process] = _Traceback(message.indent)
        elif message.text in _CHAINED:
            self._chained = message.process
        elif not self._in_traceback(message, line, number, known) and not known:
            self._read_plain(message, line, number)

    def _in_traceback(self, message: _Message, line: str, number: int, known: bool) -> bool:
        """Whether the line belongs to a traceback of its process, the last line included."""
        traceback = self._open.get(message.process)
        if traceback is None:
            return False
        if message.indent > traceback.indent or not message.text:
            traceback.code = traceback.code if message.text.strip("^~ ") == "" else message.text
            return True
        if not _EXCEPTION.fullmatch(message.text):
            return False
        del self._open[message.process]
        if not known:
            self._raised(message, traceback.code, line, number)
        self._chained = None
        return True

    def _raised(self, message: _Message, code: str, line: str, number: int) -> None:
        text = message.text.rstrip(": ")
        if self._best is not None and self._chained == message.process == self._of_process:
            self._best = replace(self._best, led_to=text[:_SHOWN])
            self._last_number = number
            return
        bare = _EXCEPTION.fullmatch(text)
        if bare and not bare["message"] and code:
            text = f"{text}, raised at: {code}"
        rank: Rank = "vague" if _VAGUE.search(message.text) else "raised"
        self._keep(NamedError(text[:_SHOWN], line.strip(), number, rank), message)

    def _read_plain(self, message: _Message, line: str, number: int) -> None:
        raised = _RAISED.search(message.text)
        if _NO_FAILURE.search(message.text) or not (raised or _PLAIN.search(message.text)):
            return
        text = raised[0] if raised else message.text
        rank: Rank = "raised" if raised else "plain"
        if _VAGUE.search(text):
            rank = "vague"
        self._keep(NamedError(text[:_SHOWN], line.strip(), number, rank), message)

    def _keep(self, found: NamedError, message: _Message) -> None:
        """Note it where it is better than what was found just before."""
        if found.line_number - self._last_number > _GAP_LINES and not self.settled:
            self._earlier, self._best = self.best, None
        self._last_number = found.line_number
        if _better(self._best, found) is found:
            self._best = found
            self._of_process = message.process
            self._unfinished = bool(_GOES_ON.search(message.text))


def _better(first: NamedError | None, second: NamedError | None) -> NamedError | None:
    """The one that names its cause better; ``first`` where they are equal."""
    if first is None or second is None:
        return first or second
    return second if _RANKS.index(second.rank) > _RANKS.index(first.rank) else first


def is_warning(line: str) -> bool:
    """Whether its logger marks the line as a warning, or as less."""
    return _message(line).level in _NO_ERRORS


def suspicious(text: str) -> bool:
    """Whether some line of ``text`` may name an error."""
    return _TRACEBACK in text or bool(_PLAIN.search(text) or _RAISED.search(text))


def _message(line: str) -> _Message:
    start = len(line) - len(line.lstrip(" \t"))
    at, indent, process, level = start, start, "", ""
    while piece := _PREFIX.match(line, at):
        process = piece["process"] or piece["rank"] or process
        level = piece["level"] or piece["logfmt"] or piece["glog"] or piece["llama"] or level
        at = piece.end()
        indent = len(line) - at - len(line[at:].lstrip(" \t"))
    return _Message(process, level, indent, line[at:].strip())
