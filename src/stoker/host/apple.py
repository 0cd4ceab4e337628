"""Apple silicon and Intel Macs, from ``sysctl``."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence

from stoker.host.hardware import Cpu, Gpu, Memory

Sysctl = Callable[[Sequence[str]], Mapping[str, str]]

_GIB = 1024**3
_MIB = 1024**2


def read_sysctl(names: Sequence[str]) -> Mapping[str, str]:
    """The values of those of ``names`` that this Mac knows, in one call of ``sysctl``."""
    try:
        done = subprocess.run(
            ["/usr/sbin/sysctl", *names], capture_output=True, text=True, timeout=1, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return parse_sysctl(done.stdout)


def parse_sysctl(output: str) -> dict[str, str]:
    """Lines of ``name: value``."""
    pairs = (line.partition(":") for line in output.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def apple_cpu(sysctl: Sysctl = read_sysctl) -> Cpu:
    """The processor of a Mac."""
    names = ("machdep.cpu.brand_string", "hw.physicalcpu", "hw.logicalcpu", "hw.ncpu")
    flags = ("hw.optional.avx2_0", "hw.optional.avx512f")
    values = sysctl((*names, *flags))
    threads = _number(values, "hw.logicalcpu") or _number(values, "hw.ncpu") or 1
    return Cpu(
        name=values.get("machdep.cpu.brand_string") or platform.machine(),
        cores=_number(values, "hw.physicalcpu") or threads,
        threads=threads,
        avx2=values.get("hw.optional.avx2_0") == "1",
        avx512=values.get("hw.optional.avx512f") == "1",
    )


def apple_gpus(memory: Memory, sysctl: Sysctl = read_sysctl) -> list[Gpu]:
    """The GPU of Apple silicon, with the part of unified memory that Metal lets it use.

    An owner may set that part (``iogpu.wired_limit_mb``); 0 or nothing is Apple's own choice.
    """
    values = sysctl(("machdep.cpu.brand_string", "hw.memsize", "iogpu.wired_limit_mb"))
    name = values.get("machdep.cpu.brand_string", "")
    total = _number(values, "hw.memsize")
    if not name.startswith("Apple") or not total:
        return []
    limit = (_number(values, "iogpu.wired_limit_mb") or 0) * _MIB or metal_share_bytes(total)
    return [Gpu(0, "apple", name, limit, min(limit, memory.available_bytes))]


def metal_share_bytes(memory_bytes: int) -> int:
    """What Metal lets the GPU use by default: two thirds up to 32 GiB, three quarters above.

    Metal's ``recommendedMaxWorkingSetSize`` as reported for 16 GiB (10922.67 MiB,
    https://github.com/ise-uiuc/magicoder/issues/19), 32 GiB (21845.34 MiB,
    https://github.com/ollama/ollama/issues/434) and 96 GiB (73728 MiB,
    https://github.com/ggml-org/llama.cpp/issues/3213). Newer macOS gives a 16 GiB M3 a little
    more (11.84 GiB, https://github.com/AlexsJones/llmfit/pull/754): this never promises more
    than there is.
    """
    if memory_bytes <= 32 * _GIB:
        return memory_bytes * 2 // 3
    return memory_bytes * 3 // 4


def _number(values: Mapping[str, str], name: str) -> int | None:
    value = values.get(name, "")
    return int(value) if value.isdecimal() else None
