"""End processes that Stoker started, and no others."""

from __future__ import annotations

import contextlib

import psutil

from stoker.server.deployment_state import ProcessId


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
    _, alive = psutil.wait_procs(family, timeout=grace_s)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=grace_s)
    return True


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
