"""Look at the machine: ``detect()`` gives a ``Host``. Know GPUs by name: ``find_gpu()``."""

from stoker.host.container_runtimes import container_runtimes
from stoker.host.detection import detect
from stoker.host.elsewhere import imagined_host, read_host
from stoker.host.gpu_catalogue import (
    GpuSpec,
    PriceRange,
    find_gpu,
    gpu_catalogue,
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
    "HubAnswer",
    "Memory",
    "MemoryHolder",
    "ParallelProbes",
    "PriceRange",
    "ask_hub",
    "clock_ahead_s",
    "container_runtimes",
    "detect",
    "find_gpu",
    "gpu_catalogue",
    "imagined_host",
    "lookup_gpu",
    "memory_holders",
    "nearest_gpus",
    "read_host",
    "token_accepted",
]
