"""Identify the processes that Stoker started, and end these and no others."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Two readings of one process's start differ by clock granularity, never by this much.
_SAME_START_S = 1.0


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, distinguished by its start time from a later one with the same number."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The identity of a process that runs now. Raises ``psutil.NoSuchProcess``."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, or ``None`` where it is gone or its number belongs to another."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def end(identity: ProcessId | None, grace_s: float) -> bool:
    """Ask the process and its children to stop, then make them. Whether it was still there."""
    process = identity.process() if identity else None
    if process is None:
        return False
    family = [process]
    with contextlib.suppress(psutil.NoSuchProcess):
        family += process.children(recursive=True)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
            member.resume()  # a paused one takes no SIGTERM until it goes on
    _, alive = psutil.wait_procs(family, timeout=grace_s)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=grace_s)
    return True


def standing_back(argv: Sequence[str], niceness: int) -> tuple[str, ...]:
    """A command whose process stands back where others want the same core.

    It is nice before its program begins: threads that are there already would keep their niceness.
    """
    program = shutil.which("nice") if niceness else None
    return (program, "-n", str(niceness), *argv) if program else tuple(argv)


def weigh_session(pid: int, niceness: int) -> None:
    """Have the session that a process leads stand back where others want the same core.

    Linux may weigh whole sessions against each other (``CONFIG_SCHED_AUTOGROUP``), and then looks
    at their niceness and not at that of the processes in them. Where it does not, nothing is done.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def memory_bytes(identity: ProcessId | None) -> int | None:
    """Resident memory of the process and its children; ``None`` where it does not run."""
    process = identity.process() if identity else None
    if process is None:
        return None
    with contextlib.suppress(psutil.Error):
        family = [process, *process.children(recursive=True)]
        return sum(int(member.memory_info().rss) for member in family)
    return None


def pids(identity: ProcessId | None) -> frozenset[int]:
    """The process and its children; empty where it does not run."""
    process = identity.process() if identity else None
    if process is None:
        return frozenset()
    with contextlib.suppress(psutil.Error):
        return frozenset((process.pid, *(c.pid for c in process.children(recursive=True))))
    return frozenset((process.pid,))
