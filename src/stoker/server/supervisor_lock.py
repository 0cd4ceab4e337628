"""Locks between Stoker's processes, and the supervisor that holds one without a readable state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from stoker import paths
from stoker.errors import StokerError
from stoker.server import deployment_state
from stoker.server.processes import ProcessId


def lock(name: str) -> FileLock:
    """A lock between processes, which the operating system frees however its holder ends."""
    return FileLock(deployment_state.state_folder() / f"{name}.lock")


def unrecorded() -> ProcessId | None:
    """The supervisor that runs although no readable state describes it.

    That happens where the file was damaged, removed, or written by another version of Stoker.
    Raises ``StokerError`` where one runs and the system does not reveal which process it is.
    """
    if deployment_state.read() is not None:
        return None
    if not (paths.state_dir() / "supervisor.lock").exists() or not _held("supervisor"):
        return None
    found = _holder("supervisor")
    if found is None:
        raise StokerError(
            "A deployment is running, but Stoker can't read its state.",
            f"{paths.deployment_file()} is damaged or of another version, and the system does not "
            "reveal which process wrote it.",
            "End the process that runs stoker.server.server, then start again: stoker up.",
        )
    return found


@contextlib.contextmanager
def alone_tuning() -> Iterator[None]:
    """Nothing else is tuned or started here meanwhile. Raises ``StokerError`` where it is."""
    held = lock("tune")
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise _tuning() from None
    try:
        yield
    finally:
        held.release()


def require_not_tuning() -> None:
    """Raise ``StokerError`` where ``stoker tune`` measures: another engine would disturb it."""
    if _held("tune"):
        raise _tuning()


def _tuning() -> StokerError:
    return StokerError(
        "stoker tune is measuring on this machine.",
        "Another engine would take its cores and its memory meanwhile.",
        "Wait until it ends, or stop it with Ctrl-C.",
    )


def _held(name: str) -> bool:
    """Whether a process holds the lock ``name`` now."""
    try:
        with lock(name).acquire(timeout=0):
            return False
    except Timeout:
        return True


def _holder(name: str) -> ProcessId | None:
    """The supervisor that has the lock's file open. Another program that has it open is not it."""
    wanted = (paths.state_dir() / f"{name}.lock").resolve()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or not _serves(process.cmdline()):
                continue
            if any(Path(file.path).resolve() == wanted for file in process.open_files()):
                return ProcessId.of(process.pid)
    return None


def _serves(arguments: Sequence[str]) -> bool:
    """Whether a process was started as a supervisor, in the background or in the foreground."""
    return "stoker.server.server" in arguments or "--foreground" in arguments
