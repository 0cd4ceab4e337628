"""What this process may use of the processor and of main memory, in a cgroup or out of one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.host.cpu import linux_cpu
from stoker.host.disk import disk
from stoker.host.hardware import Memory
from stoker.host.memory import linux_memory, memory_holders
from stoker.host.wsl import is_wsl2

Machine = Callable[..., Path]
KIB, GIB = 1024, 1024**3
MEMINFO = "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\n"


def test_reads_a_recorded_machine(machine: Machine) -> None:
    root = machine("linux-vm-no-gpu")
    cpu = linux_cpu(root)
    assert cpu.name == "Intel(R) Xeon(R) Processor"
    assert (cpu.cores, cpu.threads) == (2, 2)
    assert (cpu.avx2, cpu.avx512, cpu.amx) == (True, True, False)
    assert linux_memory(root) == Memory(24_684_092 * KIB, 24_298_304 * KIB, False)
    assert not is_wsl2(root)


def test_amx_is_seen(machine: Machine) -> None:
    root = machine(**{"proc/cpuinfo": "processor : 0\nflags : avx2 amx_bf16 amx_tile amx_int8\n"})
    assert linux_cpu(root).amx


def test_two_threads_of_one_core_are_one_core(machine: Machine) -> None:
    root = machine(
        **{f"sys/devices/system/cpu/cpu{n}/topology/core_id": str(n // 2) for n in range(4)}
    )
    cpu = linux_cpu(root, affinity={0, 1, 2, 3})
    assert (cpu.cores, cpu.threads) == (2, 4)


def test_only_the_cores_this_process_may_run_on_count(machine: Machine) -> None:
    cpu = linux_cpu(machine("linux-vm-no-gpu"), affinity={1})
    assert (cpu.cores, cpu.threads) == (1, 1)


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2), ("150000 100000", 1), ("50000 100000", 1)]
)
def test_a_cpu_quota_of_version_2_counts(quota: str, cores: int, machine: Machine) -> None:
    root = machine(
        "linux-vm-no-gpu",
        **{"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/cpu.max": quota},
    )
    assert linux_cpu(root).cores == cores


def test_a_cpu_quota_of_version_1_counts(machine: Machine) -> None:
    root = machine("linux-vm-no-gpu", **{"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000"})
    assert (linux_cpu(root).cores, linux_cpu(root).threads) == (1, 1)


def test_a_limit_of_version_2_leaves_what_the_cgroup_does_not_hold(machine: Machine) -> None:
    root = machine(
        **{
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/box\n",
            "sys/fs/cgroup/box/memory.max": str(4 * GIB),
            "sys/fs/cgroup/box/memory.current": str(3 * GIB),
            "sys/fs/cgroup/box/memory.stat": f"anon {2 * GIB}\ninactive_file {GIB}\n",
        }
    )
    assert linux_memory(root) == Memory(4 * GIB, 2 * GIB, True)


def test_a_limit_of_version_1_counts_too(machine: Machine) -> None:
    root = machine(
        **{
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "7:memory:/box\n0::/\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": str(2 * GIB),
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": str(GIB),
        }
    )
    assert linux_memory(root) == Memory(2 * GIB, GIB, True)


def test_inside_a_container_the_hosts_path_is_not_there_and_the_mount_is_the_cgroup(
    machine: Machine,
) -> None:
    root = machine(
        **{
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/system.slice/docker-0123.scope\n",
            "sys/fs/cgroup/memory.max": str(GIB),
            "sys/fs/cgroup/memory.current": "0",
        }
    )
    assert linux_memory(root) == Memory(GIB, GIB, True)


def test_no_limit_is_no_limit(machine: Machine) -> None:
    root = machine(
        **{
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/box\n",
            "sys/fs/cgroup/box/memory.max": "max",
        }
    )
    assert linux_memory(root) == Memory(16 * GIB, 12 * GIB, False)


@given(
    st.lists(st.tuples(st.integers(1, 64), st.integers(0, 64)), max_size=3),
    st.integers(1, 32),
    st.integers(0, 32),
)
def test_never_promises_more_than_any_cgroup_above_allows(
    levels: list[tuple[int, int]], total: int, available: int
) -> None:
    available = min(available, total)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/meminfo").write_text(
            f"MemTotal: {total * KIB} kB\nMemAvailable: {available * KIB} kB\n"
        )
        path = root / "sys/fs/cgroup"
        for name, (limit, used) in zip("abc", levels, strict=False):
            path = path / name
            path.mkdir(parents=True)
            (path / "memory.max").write_text(str(limit * KIB * KIB))
            (path / "memory.current").write_text(str(used * KIB * KIB))
        inside = "/".join("abc"[: len(levels)])
        (root / "proc/self/cgroup").write_text(f"0::/{inside}\n")
        memory = linux_memory(root)
    mib = KIB * KIB
    assert memory.total_bytes == min([total, *(limit for limit, _ in levels)]) * mib
    assert 0 <= memory.available_bytes <= min(available * mib, memory.total_bytes)
    assert memory.limited_by_cgroup == any(limit < total for limit, _ in levels)


def test_an_empty_root_gives_values_not_errors(tmp_path: Path) -> None:
    assert linux_memory(tmp_path) == Memory(0, 0, False)
    assert linux_cpu(tmp_path).cores == 1


@pytest.mark.parametrize(
    ("release", "wsl2"),
    [
        ("5.15.153.1-microsoft-standard-WSL2", True),
        ("4.4.0-19041-Microsoft", False),
        ("6.1.0-18-amd64", False),
    ],
)
def test_wsl_2_is_distinguished_from_wsl_1_and_linux(
    release: str, wsl2: bool, machine: Machine
) -> None:
    assert is_wsl2(machine(**{"proc/sys/kernel/osrelease": release})) is wsl2


def test_the_disk_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    found = disk(tmp_path / "not" / "yet" / "there")
    assert found is not None
    assert found.path == str(tmp_path / "not/yet/there")
    assert 0 < found.free_bytes <= found.total_bytes


def test_the_programs_that_hold_most_memory_are_named_largest_first() -> None:
    holders = memory_holders(3)
    assert 1 <= len(holders) <= 3
    sizes = [holder.memory_bytes for holder in holders]
    assert sizes == sorted(sizes, reverse=True)
    assert all(holder.name and holder.pid >= 0 for holder in holders)
