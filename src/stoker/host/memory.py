"""Main memory that this process may use."""

from __future__ import annotations

import os
from pathlib import Path

from stoker.host.cgroup import cgroup_directories
from stoker.host.hardware import Memory, MemoryHolder
from stoker.host.sysfs import read_int, read_table

_KIB = 1024


def linux_memory(root: Path = Path("/")) -> Memory:
    """The machine's memory or the cgroup's, whichever is smaller, in bytes.

    Available memory is the kernel's own estimate (``MemAvailable``), and in a cgroup its limit
    less what it holds. File pages that the kernel can drop (``inactive_file``) do not count as
    held, as ``kubectl top`` and ``docker stats`` do it.
    """
    meminfo = read_table(root / "proc/meminfo")
    total = meminfo.get("MemTotal", 0) * _KIB
    available = meminfo.get("MemAvailable", meminfo.get("MemFree", 0)) * _KIB
    limited = False
    for directory in cgroup_directories(root, "memory"):
        limit, held = _limit_and_held(directory)
        # Version 1 writes "no limit" as a number near 2**63.
        if limit is None or limit >= meminfo.get("MemTotal", 0) * _KIB:
            continue
        limited = True
        total = min(total, limit)
        available = min(available, max(0, limit - held))
    return Memory(total, available, limited, _shared_free(root))


def other_memory() -> Memory:
    """Main memory where there is no ``/proc``."""
    import psutil  # noqa: PLC0415  (costs 100 ms, and Linux does not need it)

    memory = psutil.virtual_memory()
    return Memory(memory.total, memory.available)


def _shared_free(root: Path) -> int | None:
    try:
        found = os.statvfs(root / "dev/shm")
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def memory_holders(count: int) -> tuple[MemoryHolder, ...]:
    """The programs that hold most of main memory (resident), largest first."""
    import psutil  # noqa: PLC0415  (costs 100 ms, and only the doctor asks)

    found = [
        MemoryHolder(
            process.pid, process.info["name"] or "unknown", process.info["memory_info"].rss
        )
        for process in psutil.process_iter(["name", "memory_info"])
        if process.info["memory_info"] is not None
    ]
    return tuple(sorted(found, key=lambda holder: -holder.memory_bytes)[:count])


def _limit_and_held(directory: Path) -> tuple[int | None, int]:
    stat = read_table(directory / "memory.stat")
    limit = read_int(directory / "memory.max")
    if limit is not None:
        used = read_int(directory / "memory.current") or 0
        return limit, max(0, used - stat.get("inactive_file", 0))
    used = read_int(directory / "memory.usage_in_bytes") or 0
    held = max(0, used - stat.get("total_inactive_file", 0))
    return read_int(directory / "memory.limit_in_bytes"), held
