"""Detect the machine's hardware, container runtimes and network; know GPUs by name."""

from stoker.host.container_runtimes import find_container_runtimes
from stoker.host.detection import detect
from stoker.host.elsewhere import imagined_host, read_host
from stoker.host.gpu_catalogue import (
    GpuSpec,
    HourlyRent,
    PriceRange,
    find_gpu,
    known_gpus,
    lookup_gpu,
    nearest_gpus,
)
from stoker.host.hardware import (
    ContainerRuntime,
    Cpu,
    Disk,
    Gpu,
    GpuProcess,
    Host,
    Memory,
    MemoryHolder,
)
from stoker.host.hub_probe import HubAnswer, ask_hub, clock_ahead_s, token_accepted
from stoker.host.memory import memory_holders
from stoker.host.parallel_probes import ParallelProbes

__all__ = [
    "ContainerRuntime",
    "Cpu",
    "Disk",
    "Gpu",
    "GpuProcess",
    "GpuSpec",
    "Host",
    "HourlyRent",
    "HubAnswer",
    "Memory",
    "MemoryHolder",
    "ParallelProbes",
    "PriceRange",
    "ask_hub",
    "clock_ahead_s",
    "detect",
    "find_container_runtimes",
    "find_gpu",
    "imagined_host",
    "known_gpus",
    "lookup_gpu",
    "memory_holders",
    "nearest_gpus",
    "read_host",
    "token_accepted",
]
