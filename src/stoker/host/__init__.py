"""Look at the machine: ``detect()`` gives a ``Host``."""

from stoker.host.types import ContainerRuntime, Cpu, Disk, Gpu, GpuProcess, Host, Memory

__all__ = ["ContainerRuntime", "Cpu", "Disk", "Gpu", "GpuProcess", "Host", "Memory"]
