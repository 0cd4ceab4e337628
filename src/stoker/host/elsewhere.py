"""Other machines to plan for: made up around a GPU, or described by a file."""

from __future__ import annotations

from pathlib import Path

from stoker.errors import UsageError
from stoker.host.gpu_catalogue import GIB, GpuSpec
from stoker.host.hardware import ContainerRuntime, Cpu, Host, Memory

#: Cores and GiB of main memory of a made-up machine.
_DESKTOP, _SERVER = (8, 32), (32, 256)
#: What programs that run already leave of the main memory.
_AVAILABLE = 0.85
_HOW = "Create the file on that machine: stoker host --json > FILE."


def imagined_host(spec: GpuSpec, count: int = 1) -> Host:
    """A machine with ``count`` idle GPUs of one kind, a network, and containers that can use them.

    Raises ``UsageError`` where there can't be such a machine.
    """
    if spec.unified and count != 1:
        raise UsageError(
            f"No machine has {count} x {spec.label}.",
            "This GPU is part of the processor and shares its memory.",
            "Leave --gpus out: each such machine serves on its own.",
        )
    if spec.unified and spec.usable_bytes is None:
        raise UsageError(
            f"{spec.name} comes with different amounts of memory.",
            "The GPU shares it with the processor, so the plan depends on it.",
            f'Name the size: --gpu "{spec.name} 64GB".',
        )
    cores, gib = _SERVER if spec.kind == "datacenter" else _DESKTOP
    shared = spec.memory_bytes or spec.usable_bytes
    total = shared if spec.unified and shared else gib * GIB
    apple = spec.vendor == "apple"
    return Host(
        system="Darwin" if apple else "Linux",
        arch="arm64" if apple else "x86_64",
        cpu=Cpu(spec.name if apple else "imagined", cores, cores, avx2=True),
        memory=Memory(total_bytes=total, available_bytes=int(_AVAILABLE * total)),
        gpus=tuple(spec.gpu(index) for index in range(count)),
        runtimes=(_docker(nvidia=spec.vendor == "nvidia"),),
        hub_reachable=True,
    )


def _docker(*, nvidia: bool) -> ContainerRuntime:
    socket = "unix:///var/run/docker.sock"
    return ContainerRuntime("docker", reachable=True, endpoint=socket, nvidia=nvidia)


def read_host(path: Path) -> Host:
    """The machine that ``stoker host --json`` described in ``path``. Raises ``UsageError``."""
    import msgspec  # noqa: PLC0415  (only where a file is given)

    try:
        host = msgspec.json.decode(path.read_bytes(), type=Host)
    except OSError as error:
        raise UsageError(f"{path} can't be read.", f"{error.strerror}.", _HOW) from error
    except (RecursionError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise UsageError(f"{path} does not describe a machine.", f"{error}.", _HOW) from error
    if host.cpu.cores < 1 or host.memory.available_bytes < 0:
        raise UsageError(
            f"{path} does not describe a machine.",
            "Its core count is below 1, or its memory is negative.",
            _HOW,
        )
    return host
