"""The processor, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from pathlib import Path

from stoker.host.cgroup import cgroup_directories
from stoker.host.hardware import Cpu
from stoker.host.sysfs import read_int, read_text


def linux_cpu(root: Path = Path("/"), affinity: Collection[int] | None = None) -> Cpu:
    """Read ``/proc/cpuinfo``, the core topology in ``/sys`` and the cgroup's CPU quota.

    ``affinity`` is the set of logical CPUs that this process may run on; all that
    ``/proc/cpuinfo`` names where it is ``None``. A quota of 1.5 CPUs counts as one: a second
    busy thread would be throttled.
    """
    cpuinfo = read_text(root / "proc/cpuinfo") or ""
    fields = _first_processor(cpuinfo)
    listed = {
        int(line.partition(":")[2])
        for line in cpuinfo.splitlines()
        if line.startswith("processor") and line.partition(":")[2].strip().isdigit()
    }
    usable = set(affinity) if affinity is not None else listed
    threads = max(1, len(usable))
    cores = _physical_cores(root, usable) or threads
    quota = _quota_cpus(root)
    if quota is not None:
        threads, cores = min(threads, quota), min(cores, quota)
    flags = set(fields.get("flags", "").split())
    return Cpu(
        name=fields.get("model name") or _device_tree_model(root) or platform.machine(),
        cores=cores,
        threads=threads,
        avx2="avx2" in flags,
        avx512="avx512f" in flags,
        amx="amx_tile" in flags,
    )


def other_cpu() -> Cpu:
    """Read a processor where there is neither ``/proc`` nor ``sysctl``; flags are not known."""
    import psutil  # noqa: PLC0415  (costs 100 ms, and Linux does not need it)

    threads = psutil.cpu_count(logical=True) or os.cpu_count() or 1
    cores = psutil.cpu_count(logical=False) or threads
    return Cpu(platform.processor() or platform.machine(), cores, threads)


def _first_processor(cpuinfo: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in cpuinfo.split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    return fields


def _physical_cores(root: Path, usable: Collection[int]) -> int:
    cores = set()
    for cpu in usable:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        core = read_int(topology / "core_id")
        if core is not None:
            cores.add((read_int(topology / "physical_package_id"), core))
    return len(cores)


def _quota_cpus(root: Path) -> int | None:
    limits = [_quota(directory) for directory in cgroup_directories(root, "cpu")]
    found = [limit for limit in limits if limit is not None]
    return max(1, int(min(found))) if found else None


def _quota(directory: Path) -> float | None:
    """The CPUs that one cgroup may use: ``cpu.max`` in version 2, ``cpu.cfs_*`` in version 1."""
    v2 = (read_text(directory / "cpu.max") or "").split()
    if len(v2) == 2 and v2[0].isdigit() and int(v2[1]) > 0:
        return int(v2[0]) / int(v2[1])
    quota = read_int(directory / "cpu.cfs_quota_us")
    period = read_int(directory / "cpu.cfs_period_us")
    if quota is not None and period and quota > 0:
        return quota / period
    return None


def _device_tree_model(root: Path) -> str | None:
    """The board's name on ARM, where ``/proc/cpuinfo`` has no model name."""
    return (read_text(root / "proc/device-tree/model") or "").rstrip("\0") or None
