"""What a machine has, as one frozen value. ``None`` means "could not be read", never zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vendor = Literal["nvidia", "amd", "intel", "apple"]


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A program that holds GPU memory."""

    pid: int
    name: str
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class MemoryHolder:
    """A program and the main memory that it holds."""

    pid: int
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator, or one MIG slice of it.

    On Apple silicon the memory is the part of unified memory that the GPU may use. ``index``
    counts the GPUs of one vendor.
    """

    index: int
    vendor: Vendor
    name: str
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    #: NVIDIA compute capability, as (major, minor).
    compute_capability: tuple[int, int] | None = None
    #: AMD instruction set, such as ``gfx942``.
    gfx: str | None = None
    driver: str | None = None
    #: The highest CUDA version that the driver supports, such as ``12.8``.
    cuda: str | None = None
    #: NVIDIA's own name for the GPU; the only name by which CUDA takes a MIG slice.
    uuid: str | None = None
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor. ``cores`` are physical cores that this process may use."""

    name: str
    cores: int
    threads: int
    avx2: bool = False
    avx512: bool = False
    amx: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory that this process may use: the smaller of the machine's and the cgroup's."""

    total_bytes: int
    available_bytes: int
    limited_by_cgroup: bool = False
    #: What is free in ``/dev/shm``, which processes share.
    shared_free_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system on which models are kept."""

    path: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class ContainerRuntime:
    """Docker or Podman. ``problem`` is one sentence on why it is not ``reachable``."""

    name: Literal["docker", "podman"]
    reachable: bool
    version: str | None = None
    #: The socket on which it answered, such as ``unix:///var/run/docker.sock``.
    endpoint: str | None = None
    #: Containers can be given NVIDIA GPUs: an ``nvidia`` runtime or a CDI specification.
    nvidia: bool = False
    rootless: bool = False
    desktop: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """Everything that planning needs to know of a machine."""

    system: str
    arch: str
    cpu: Cpu
    memory: Memory
    disk: Disk | None = None
    gpus: tuple[Gpu, ...] = ()
    runtimes: tuple[ContainerRuntime, ...] = ()
    wsl2: bool = False
    #: The model hub answered within 2 s. ``None`` where it was not asked.
    hub_reachable: bool | None = None
    #: What could not be read and why, one sentence each, with what to do.
    problems: tuple[str, ...] = ()
