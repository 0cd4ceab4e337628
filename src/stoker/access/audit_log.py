"""The audit log: changes of keys and configuration, starts, and refused entries.

Every process of this account appends to the same file, one after the other behind a lock.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from filelock import FileLock, Timeout

from stoker import paths
from stoker.access import audit_chain
from stoker.access.audit_chain import ChainBreak, ChainLink
from stoker.errors import StokerError
from stoker.private_files import give_to_folder_owner, make_private, write_private

#: A file of this size is set aside, and a new one continues its chain: some 30,000 lines.
MAX_BYTES = 10_000_000
#: Another process holds the lock for milliseconds, or it is stuck.
_LOCK_S = 10.0
#: No line is longer: names and texts in it are bounded.
_MAX_LINE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class _OpenFile:
    path: Path
    log: BinaryIO
    #: What is read of it: later lines are not.
    size: int

    def lines(self) -> Iterator[bytes]:
        left = self.size
        while left and (line := self.log.readline(min(left, _MAX_LINE_BYTES))):
            left -= len(line)
            yield line


@dataclass(frozen=True, slots=True)
class WholeLog:
    """What a check found in order: the number of the first line that is here, and the last line."""

    first: int
    last: ChainLink


class AuditLog:
    """The log in one folder. Raises ``StokerError`` where it can't be read or written."""

    def __init__(
        self,
        folder: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._folder = folder or paths.log_dir()
        self._now = now
        self._max_bytes = max_bytes

    @property
    def path(self) -> Path:
        """The file that is being written. Files set aside are ``audit-N.jsonl`` beside it."""
        return self._folder / "audit.jsonl"

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write one line for each record; ``event`` names what happened. On disk at the return."""
        with self._locked("written"):
            self._append(records)

    def records(self) -> Iterator[dict[str, Any]]:
        """What was logged, from the oldest to the newest; damaged lines are left out."""
        with contextlib.ExitStack() as stack:
            logs, _ = self._opened(stack)
            for _, line in self._lines(logs):
                try:
                    yield audit_chain.record_in(line)
                except ValueError:
                    continue

    def verify(self) -> WholeLog:
        """What is in order. Raises ``StokerError`` that names the first line that is wrong."""
        place, first = "", b""

        def lines() -> Iterator[bytes]:
            nonlocal place, first
            for place, line in self._lines(logs):  # noqa: B007  (named below where it is wrong)
                first = first or line
                yield line

        with contextlib.ExitStack() as stack:
            logs, known = self._opened(stack)
            found = audit_chain.first_break(lines())
        if isinstance(found, ChainBreak):
            raise self._altered(place, found.why)
        if known.sequence > found.sequence:
            missing = known.sequence - found.sequence
            raise self._altered(f"the end of {self.path}", f"Lines are missing there: {missing}")
        if known.sequence == found.sequence and known != found:
            raise self._altered(f"the end of {self.path}", "The whole log was written again")
        return WholeLog(audit_chain.link_of(first).sequence if first else 1, found)

    def _opened(self, stack: contextlib.ExitStack) -> tuple[list[_OpenFile], ChainLink]:
        """The files as they are now, and the last line. Others may write while they are read."""
        with self._locked("read"):
            files = [(file, stack.enter_context(file.open("rb"))) for file in self._files()]
            logs = [_OpenFile(file, log, os.fstat(log.fileno()).st_size) for file, log in files]
            return logs, self._last_known() or ChainLink()

    @contextlib.contextmanager
    def _locked(self, done: str) -> Iterator[None]:
        try:
            make_private(self._folder)
            with FileLock(self._folder / "audit.lock", timeout=_LOCK_S, mode=0o600) as lock:
                give_to_folder_owner(Path(lock.lock_file))
                yield
        except (OSError, Timeout) as error:
            raise self._unusable(done, error) from error

    def _append(self, records: Sequence[Mapping[str, Any]]) -> None:
        last = self._last()
        written = b""
        stamp = self._now().isoformat(timespec="milliseconds")
        for record in records:
            line, last = audit_chain.line_of({"time": stamp, **record, "by": _account()}, last)
            written += line
        self._write(written)
        write_private(self._head, msgspec.json.encode(last))
        give_to_folder_owner(self._head)
        give_to_folder_owner(self.path)
        if self.path.stat().st_size >= self._max_bytes:
            aside = self.path.with_name(f"audit-{last.sequence:09}.jsonl")
            self.path.rename(aside)

    def _write(self, lines: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, lines) != len(lines):  # the disk is full
                os.ftruncate(descriptor, size)
                raise OSError("the disk is full")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _last(self) -> ChainLink:
        """The place of the last line.

        Where that line was damaged, it is what was noted beside the log: a key can still be revoked
        then, and ``verify`` names the damaged line.
        """
        for file in reversed(self._files()):
            self._drop_torn_line(file)
            if tail := _tail(file):
                with contextlib.suppress(ValueError):
                    return audit_chain.link_of(tail)
                break
        return self._last_known() or ChainLink()

    def _drop_torn_line(self, file: Path) -> None:
        """Remove what a loss of power left of a line: it has no end, and was never confirmed."""
        with file.open("r+b") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _MAX_LINE_BYTES))
            tail = log.read()
            if tail and not tail.endswith(b"\n"):
                log.truncate(size - len(tail) + tail.rfind(b"\n") + 1)

    def _last_known(self) -> ChainLink | None:
        """The last line as it was noted beside the log: shows that lines at the end are missing."""
        try:
            return msgspec.json.decode(self._head.read_bytes(), type=ChainLink)
        except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    @property
    def _head(self) -> Path:
        return self._folder / "audit.head"

    def _files(self) -> list[Path]:
        aside = sorted(self._folder.glob("audit-*.jsonl"))
        return [*aside, self.path] if self.path.exists() else aside

    def _lines(self, logs: Sequence[_OpenFile]) -> Iterator[tuple[str, bytes]]:
        """Each line with its place, such as ``audit.jsonl, line 7``."""
        try:
            for file in logs:
                for number, line in enumerate(file.lines(), 1):
                    yield f"{file.path}, line {number}", line
        except OSError as error:
            raise self._unusable("read", error) from error

    def _unusable(self, done: str, error: Exception) -> StokerError:
        cause = "Another process holds its lock" if isinstance(error, Timeout) else error
        return StokerError(
            f"The audit log {self.path} can't be {done}.",
            f"The system reports: {cause}.",
            "Make its folder writable for this account and free space on its disk; then try again.",
        )

    def _altered(self, place: str, why: str) -> StokerError:
        return StokerError(
            f"The audit log is inconsistent from here on: {place}.",
            f"{why}.",
            "Keep a copy of all its files, find out who could write them, and move them away to "
            "begin a new log.",
        )


def _tail(file: Path) -> bytes:
    """The last line of a file, empty where it has none."""
    with file.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - _MAX_LINE_BYTES))
        return log.read().removesuffix(b"\n").rpartition(b"\n")[2] + b"\n" if size else b""


def _account() -> str:
    """The account of the operating system that this process runs as."""
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd  # noqa: PLC0415  (Windows has none)

    try:
        return pwd.getpwuid(os.geteuid()).pw_name  # variables, which getpass reads, can be forged
    except KeyError:  # a container may run under a number that has no name
        return str(os.geteuid())
