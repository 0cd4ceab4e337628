"""A Mac shares its memory between processor and GPU; Stoker takes what Metal allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stoker.host.apple import apple_cpu, apple_gpus, metal_share_bytes, parse_sysctl
from stoker.host.hardware import Memory

GIB = 1024**3
MEMORY = Memory(16 * GIB, 9 * GIB)
Recording = Callable[[str], dict[str, Any]]


def test_reads_an_m3(recording: Recording) -> None:
    found = recording("apple-m3")
    (gpu,) = apple_gpus(Memory(16 * GIB, 15 * GIB), lambda _names: found["sysctl"])
    assert (gpu.vendor, gpu.name, gpu.index) == ("apple", "Apple M3", 0)
    assert gpu.memory_total_bytes == 16 * GIB * 2 // 3
    assert gpu.memory_total_bytes <= found["metal_recommended_gib"] * GIB


def test_what_programs_hold_is_not_free_for_the_gpu(recording: Recording) -> None:
    values = recording("apple-m3")["sysctl"]
    (gpu,) = apple_gpus(MEMORY, lambda _names: values)
    assert gpu.memory_free_bytes == 9 * GIB


def test_an_owners_own_limit_counts(recording: Recording) -> None:
    values = recording("apple-m3")["sysctl"] | {"iogpu.wired_limit_mb": "14000"}
    (gpu,) = apple_gpus(MEMORY, lambda _names: values)
    assert gpu.memory_total_bytes == 14_000 * 1024**2


def test_the_m3s_processor_has_no_x86_instructions(recording: Recording) -> None:
    cpu = apple_cpu(lambda _names: recording("apple-m3")["sysctl"])
    assert (cpu.name, cpu.cores, cpu.threads) == ("Apple M3", 8, 8)
    assert not (cpu.avx2 or cpu.avx512 or cpu.amx)


def test_an_intel_mac_has_no_unified_memory() -> None:
    values = {"machdep.cpu.brand_string": "Intel(R) Core(TM) i7", "hw.memsize": str(16 * GIB)}
    assert apple_gpus(MEMORY, lambda _names: values) == []


def test_a_sysctl_that_prints_nothing_gives_nothing() -> None:
    assert apple_gpus(MEMORY, lambda _names: {}) == []
    assert apple_cpu(lambda _names: {}).cores == 1


def test_reported_metal_limits_are_met() -> None:
    mib = 1024**2
    assert metal_share_bytes(16 * GIB) // mib == 10_922
    assert metal_share_bytes(32 * GIB) // mib == 21_845
    assert metal_share_bytes(96 * GIB) // mib == 73_728


@given(st.integers(1, 512), st.integers(1, 512))
def test_more_memory_never_means_less_for_the_gpu(one: int, other: int) -> None:
    small, large = sorted((one * GIB, other * GIB))
    assert metal_share_bytes(small) <= metal_share_bytes(large) < large + 1


def test_sysctl_lines_keep_colons_in_their_values() -> None:
    assert parse_sysctl("kern.version: Darwin 24: x\nnoise\n") == {"kern.version": "Darwin 24: x"}
