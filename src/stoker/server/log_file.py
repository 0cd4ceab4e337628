"""One log, in the order of events: the supervisor's own lines and, indented, the engine's.

The completion engine beside it has a log of its own, so that the lines of one start stay together.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import BufferedReader, RawIOBase, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import BinaryIO, cast

from stoker import paths
from stoker.errors import StokerError, UsageError

_MAX_BYTES = 5_000_000
_KEPT = 3
#: Byte order marks and their encodings. That of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_STAMP = "%Y-%m-%d %H:%M:%S"
_STAMP_LENGTH = len("2026-01-01 00:00:00")
#: As vLLM logs requests: by default before 0.10, later with an option. The prompt is quoted, so it
#: has no line breaks of its own. https://github.com/vllm-project/vllm/blob/v0.9.2/vllm/entrypoints/logger.py
_PROMPT = re.compile(r"(\brequest \S+(?: details)?: prompt: ).*", re.IGNORECASE | re.DOTALL)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def path(*, completion: bool = False) -> Path:
    """The log file that is being written; older ones end in ``.1`` to ``.3``."""
    return paths.log_dir() / ("completion.log" if completion else "stoker.log")


def logger(*, completion: bool = False) -> logging.Logger:
    """The supervisor's logger. Prompts, answers and keys are never logged."""
    return logging.getLogger("stoker.completion-engine" if completion else "stoker")


def without_prompt(line: str) -> str:
    """A line of an engine's log, without the prompt that it may quote."""
    return _PROMPT.sub(r"\1(left out)", line)


def open_log(*, completion: bool = False) -> None:
    """Write the supervisor's log to the rotating file. Raises ``StokerError`` if it can't."""
    file, to = path(completion=completion), logger(completion=completion)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            file, maxBytes=_MAX_BYTES, backupCount=_KEPT, encoding="utf-8"
        )
    except OSError as error:
        raise StokerError(
            f"Stoker can't write its log {file}.",
            f"The system reports: {error.strerror}.",
            "Make the folder writable, or set STOKER_HOME to one that is.",
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", _STAMP))
    to.addHandler(handler)
    to.setLevel(logging.INFO)
    to.propagate = False


def parse_since(text: str, now: datetime) -> datetime:
    """The moment meant by "90s", "10m", "2h", "1d" or a date and time, in the zone of ``now``.

    That is local time where ``now`` has none. A date and time may name another zone: +02:00.
    """
    ago = re.fullmatch(r"(\d+)([smhd])", text.strip())
    try:
        if ago:
            moment = now - timedelta(seconds=int(ago[1]) * _UNITS_S[ago[2]])
        else:
            moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is not None:
            moment = moment.astimezone(now.tzinfo)
        moment = moment.replace(tzinfo=now.tzinfo)
        moment.timestamp()  # raises for one that no clock shows
        return moment
    except (ValueError, OverflowError, OSError) as error:  # before the year 1, or after 9999
        raise UsageError(
            f"{text!r} is not a time.",
            fix="Write how long ago (90s, 10m, 2h, 1d) or a moment (2026-01-31 14:00).",
        ) from error


def lines(since: datetime | None = None, *, completion: bool = False) -> Iterator[str]:
    """The log's lines from the oldest kept file to the newest."""
    start = since.strftime(_STAMP) if since else ""
    wanted = not start
    for file in _files(path(completion=completion)):
        with file.open(encoding="utf-8", errors="replace") as log:
            for line in log:
                # A line without a stamp belongs to the one before it.
                if not wanted and line[:4].isdigit():
                    wanted = line[:_STAMP_LENGTH] >= start
                if wanted:
                    yield line.rstrip("\n")


def decoded(log: BinaryIO) -> Iterator[str]:
    """The lines of any program's log, in the encoding that its first bytes show.

    PowerShell's ``>`` writes UTF-16. Of other encodings the ASCII part is read, in which engines
    write their errors.
    """
    buffered = BufferedReader(cast(RawIOBase, log))
    text = TextIOWrapper(buffered, encoding=_encoding(buffered.peek(4)[:4]), errors="replace")
    try:
        for line in text:
            yield line.rstrip("\n")
    finally:
        text.detach().detach()  # the caller closes it


def _encoding(start: bytes) -> str:
    marked = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    if marked is not None or b"\0" not in start:
        return marked or "utf-8-sig"
    return "utf-16-be" if start.startswith(b"\0") else "utf-16-le"


def follow(
    stop: Callable[[], bool], poll_s: float = 0.2, *, completion: bool = False
) -> Iterator[str]:
    """New lines as they are written, across rotations, until ``stop()``."""
    written = path(completion=completion)
    file = written.open(encoding="utf-8", errors="replace")
    try:
        file.seek(0, 2)
        while not stop():
            line = file.readline()
            if line:
                yield line.rstrip("\n")
                continue
            time.sleep(poll_s)
            if _rotated(written, file.fileno()):
                file.close()
                file = written.open(encoding="utf-8", errors="replace")
    finally:
        file.close()


def _rotated(written: Path, descriptor: int) -> bool:
    try:
        return written.stat().st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False  # between the rename and the new file


def _files(written: Path) -> list[Path]:
    rotated = [written.with_name(f"{written.name}.{n}") for n in range(_KEPT, 0, -1)]
    return [file for file in (*rotated, written) if file.exists()]
