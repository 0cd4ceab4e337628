"""NVIDIA GPUs, from NVML: the library behind ``nvidia-smi``."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from stoker.host.hardware import Gpu, GpuProcess
from stoker.host.pci import NVIDIA, accelerators

T = TypeVar("T")

#: Why NVML does not start and what to do, by the name of its error.
_PROBLEMS = {
    "NVML_ERROR_DRIVER_NOT_LOADED": "The NVIDIA driver is installed but not loaded: "
    "restart the machine, or load it with `sudo modprobe nvidia`.",
    "NVML_ERROR_LIB_RM_VERSION_MISMATCH": "The NVIDIA driver that runs and its library have "
    "different versions, as after an update: restart the machine.",
    "NVML_ERROR_NO_PERMISSION": "You may not use the NVIDIA driver: check who may open "
    "/dev/nvidiactl, or give the container its GPUs.",
}


@dataclass(frozen=True, slots=True)
class NvidiaReading:
    """The GPUs; or one sentence on why none could be read where there may be some."""

    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


def nvidia_gpus(nvml: Any = None, root: Path = Path("/")) -> NvidiaReading:
    """Ask NVML for every GPU. What a GPU does not answer is ``None``.

    ``nvml`` is the ``pynvml`` module or a stand-in; it is looked for where it is
    ``None``. GB10 and Jetson have no memory of their own and answer "Not Supported".
    """
    library = nvml or _load_nvml()
    if library is None:
        return NvidiaReading(problem=_no_library(root))
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return NvidiaReading(problem=_why(library, error, root))
    try:
        return NvidiaReading(tuple(_read_all(library)))
    finally:
        _ask(library, library.nvmlShutdown)


def _load_nvml() -> Any:
    """``pynvml``, or ``None`` where its driver is missing: importing it costs 40 ms."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return None
    elif sys.platform != "win32":
        return None
    import pynvml  # noqa: PLC0415

    return pynvml


def _no_library(root: Path) -> str | None:
    if not accelerators(root, NVIDIA):
        return None
    if (root / "sys/module/nvidia").is_dir():
        return (
            "An NVIDIA GPU and its driver are here, but not the driver's library: in a "
            "container, start it with its GPUs (`--gpus all`); else install the driver again."
        )
    return (
        "An NVIDIA GPU is in this machine, but its driver is not installed: "
        "install NVIDIA's driver and restart."
    )


def _why(nvml: Any, error: Exception, root: Path) -> str | None:
    for name, sentence in _PROBLEMS.items():
        if getattr(error, "value", None) == getattr(nvml, name):
            return sentence
    if getattr(error, "value", None) == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
        return _no_library(root)
    return f"The NVIDIA driver answers with an error: {error}."


def _read_all(nvml: Any) -> Iterable[Gpu]:
    driver = _ask(nvml, nvml.nvmlSystemGetDriverVersion)
    cuda = _cuda(_ask(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2))
    index = 0
    for position in range(_ask(nvml, nvml.nvmlDeviceGetCount) or 0):
        # A GPU that fell off the bus, or that this user may not open, gives no handle.
        card = _ask(nvml, nvml.nvmlDeviceGetHandleByIndex, position)
        if card is None:
            continue
        mig = _mig_slices(nvml, card)
        for device in [card] if mig is None else mig:
            yield _gpu(nvml, index, card, device, driver=driver, cuda=cuda)
            index += 1


def _gpu(
    nvml: Any, index: int, card: Any, device: Any, *, driver: str | None, cuda: str | None
) -> Gpu:
    """``device`` is the card itself or, with MIG, one slice of it."""
    memory = _ask(nvml, nvml.nvmlDeviceGetMemoryInfo, device)
    capability = _ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, card)
    return Gpu(
        index=index,
        vendor="nvidia",
        name=_ask(nvml, nvml.nvmlDeviceGetName, device) or "NVIDIA GPU",
        memory_total_bytes=int(memory.total) if memory else None,
        memory_free_bytes=int(memory.free) if memory else None,
        compute_capability=(capability[0], capability[1]) if capability else None,
        driver=driver,
        cuda=cuda,
        uuid=_ask(nvml, nvml.nvmlDeviceGetUUID, device),
        processes=_processes(nvml, device),
    )


def _mig_slices(nvml: Any, card: Any) -> list[Any] | None:
    """The slices of a GPU that is divided with MIG, or ``None`` where MIG is off.

    With MIG on, the card as a whole takes no work, even while it has no slice yet.
    """
    mode = _ask(nvml, nvml.nvmlDeviceGetMigMode, card)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return None
    most = _ask(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, card) or 0
    handles = (_ask(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, card, i) for i in range(most))
    return [handle for handle in handles if handle is not None]


def _processes(nvml: Any, device: Any) -> tuple[GpuProcess, ...]:
    """What holds memory, largest first. A program that computes and draws is listed once."""
    found: dict[int, GpuProcess] = {}
    for ask in (
        nvml.nvmlDeviceGetComputeRunningProcesses,
        nvml.nvmlDeviceGetGraphicsRunningProcesses,
    ):
        for process in _ask(nvml, ask, device) or ():
            pid, used = int(process.pid), process.usedGpuMemory
            found.setdefault(pid, GpuProcess(pid, _program(nvml, pid), used))
    return tuple(sorted(found.values(), key=lambda p: -(p.memory_bytes or 0)))


def _program(nvml: Any, pid: int) -> str:
    name = _ask(nvml, nvml.nvmlSystemGetProcessName, pid) or "unknown"
    return name.replace("\\", "/").rsplit("/", 1)[-1] or name


def _ask(nvml: Any, question: Callable[..., T], *arguments: Any) -> T | None:
    """NVML's answer, or ``None`` where it has none: not supported, no permission, GPU lost.

    A driver older than ``pynvml`` raises ``NVMLLibraryMismatchError``, which is no
    ``NVMLError``; a program's name that is not UTF-8 raises ``UnicodeDecodeError``.
    """
    try:
        return question(*arguments)
    except (nvml.NVMLError, nvml.NVMLLibraryMismatchError, UnicodeDecodeError):
        return None


def _cuda(version: int | None) -> str | None:
    """NVML writes CUDA 12.8 as 12080."""
    return f"{version // 1000}.{version % 1000 // 10}" if version else None
