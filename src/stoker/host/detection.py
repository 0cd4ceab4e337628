"""Read everything about the machine in one call that never fails and never takes long."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from stoker.host.amd import amd_gpus
from stoker.host.apple import apple_cpu, apple_gpus
from stoker.host.container_runtimes import Name, docker, here, podman
from stoker.host.cpu import linux_cpu, other_cpu
from stoker.host.disk import disk
from stoker.host.hardware import ContainerRuntime, Cpu, Gpu, Host, Memory
from stoker.host.hub_probe import hub_reachable
from stoker.host.intel import intel_gpus
from stoker.host.memory import linux_memory, other_memory
from stoker.host.nvidia import NvidiaReading, nvidia_gpus
from stoker.host.parallel_probes import ParallelProbes, could_not_read
from stoker.host.wsl import is_wsl2

T = TypeVar("T")

#: How long the slow probes may take together. NVML starts in 1 to 2 s on a machine with many
#: GPUs and no persistence daemon; the hub is given 2 s.
SLOW_PROBES_S = 2.2


def detect(models_dir: Path, ask_hub: bool = True) -> Host:
    """Look at this machine. Never raises; what cannot be read is ``None`` or in ``problems``.

    ``models_dir`` is where models are kept, for the room on its disk. Takes at most about
    2.5 s, and well under 150 ms on a machine without GPUs when the hub is not asked.
    """
    problems: list[str] = []
    at = here()
    slow = ParallelProbes(
        {
            "NVIDIA's driver": nvidia_gpus,
            "Docker": lambda: docker(at),
            "Podman": lambda: podman(at),
            **({"the model hub": hub_reachable} if ask_hub else {}),
        }
    )
    cpu = _safely("the processor", _cpu, Cpu("unknown", 1, 1), problems)
    memory = _safely("main memory", _memory, Memory(0, 0), problems)
    gpus: tuple[Gpu, ...] = _safely("GPUs", lambda: _other_gpus(memory), (), problems)
    room = _safely("the disk", lambda: disk(models_dir), None, problems)
    answers = slow.wait(SLOW_PROBES_S, problems)
    nvidia: NvidiaReading = answers.get("NVIDIA's driver", NvidiaReading())
    if nvidia.problem:
        problems.append(nvidia.problem)
    return Host(
        system=platform.system(),
        arch=platform.machine(),
        cpu=cpu,
        memory=memory,
        disk=room,
        gpus=(*nvidia.gpus, *gpus),
        runtimes=(_runtime("docker", answers), _runtime("podman", answers)),
        wsl2=_safely("the kernel's release", is_wsl2, False, problems),
        hub_reachable=answers.get("the model hub", False if ask_hub else None),
        problems=tuple(problems),
    )


def _safely(what: str, probe: Callable[[], T], otherwise: T, problems: list[str]) -> T:
    try:
        return probe()
    except Exception as error:
        problems.append(could_not_read(what, error))
        return otherwise


def _cpu() -> Cpu:
    if sys.platform == "linux":
        return linux_cpu(affinity=os.sched_getaffinity(0))
    return apple_cpu() if sys.platform == "darwin" else other_cpu()


def _memory() -> Memory:
    return linux_memory() if sys.platform == "linux" else other_memory()


def _other_gpus(memory: Memory) -> tuple[Gpu, ...]:
    if sys.platform == "linux":
        return (*amd_gpus(), *intel_gpus())
    return tuple(apple_gpus(memory)) if sys.platform == "darwin" else ()


def _runtime(name: Name, answers: Mapping[str, Any]) -> ContainerRuntime:
    late = ContainerRuntime(name, reachable=False, problem=f"{name.title()} did not answer.")
    found: ContainerRuntime = answers.get(name.title(), late)
    return found
