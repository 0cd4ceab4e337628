"""Recorded machines, given to the code under test the way their drivers would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

RECORDINGS = Path(__file__).parents[2] / "fixtures" / "host"
_MIB = 1024**2


def read_recording(name: str) -> dict[str, Any]:
    return tomllib.loads((RECORDINGS / f"{name}.toml").read_text(encoding="utf-8"))


@dataclass
class RecordedNvml:
    """Answers as NVML does on the recorded machine, errors included."""

    recording: dict[str, Any]
    init_error: int | None = None
    NVMLError = pynvml.NVMLError
    NVMLLibraryMismatchError = pynvml.NVMLLibraryMismatchError
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_ERROR_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return str(self.recording["driver_version"])

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        major, minor = str(self.recording["cuda_version"]).split(".")
        return int(major) * 1000 + int(minor) * 10

    def nvmlSystemGetProcessName(self, pid: int) -> str:  # noqa: N802
        for gpu in self.recording["gpu"]:
            for process in gpu.get("processes", ()):
                if process["pid"] == pid:
                    return str(process["name"])
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.recording["gpu"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:  # noqa: N802
        gpu: dict[str, Any] = self.recording["gpu"][index]
        if gpu.get("lost"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return gpu

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> str:  # noqa: N802
        return str(gpu["name"])

    def nvmlDeviceGetUUID(self, gpu: dict[str, Any]) -> str:  # noqa: N802
        return str(_known(gpu, "uuid"))

    def nvmlDeviceGetCudaComputeCapability(self, gpu: dict[str, Any]) -> list[int]:  # noqa: N802
        return [int(part) for part in str(_known(gpu, "compute_capability")).split(".")]

    def nvmlDeviceGetMemoryInfo(self, gpu: dict[str, Any]) -> SimpleNamespace:  # noqa: N802
        total, used = _bytes(gpu, "memory_total"), _bytes(gpu, "memory_used")
        free = _bytes(gpu, "memory_free") if "memory_free" in gpu else total - used
        return SimpleNamespace(total=total, used=total - free, free=free)

    def nvmlDeviceGetMigMode(self, gpu: dict[str, Any]) -> list[int]:  # noqa: N802
        mode = int(_known(gpu, "mig") == "Enabled")
        return [mode, mode]

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: dict[str, Any]) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(  # noqa: N802
        self, gpu: dict[str, Any], index: int
    ) -> dict[str, Any]:
        slices: list[dict[str, Any]] = gpu.get("slice", [])
        if index >= len(slices):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return slices[index]

    def nvmlDeviceGetComputeRunningProcesses(  # noqa: N802
        self, gpu: dict[str, Any]
    ) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(pid=process["pid"], usedGpuMemory=_bytes(process, "memory"))
            for process in gpu.get("processes", ())
        ]

    def nvmlDeviceGetGraphicsRunningProcesses(  # noqa: N802
        self, gpu: dict[str, Any]
    ) -> list[SimpleNamespace]:
        # A desktop's compositor is in both of NVML's lists: repeat the first program.
        return self.nvmlDeviceGetComputeRunningProcesses(gpu)[:1]


def _known(record: dict[str, Any], field: str) -> Any:
    value = record.get(field, "N/A")
    if value in ("N/A", "Not Supported"):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value


def _bytes(record: dict[str, Any], field: str) -> int:
    return int(str(_known(record, field)).removesuffix(" MiB")) * _MIB


@pytest.fixture
def recording() -> Callable[[str], dict[str, Any]]:
    return read_recording


@pytest.fixture
def nvml() -> Callable[..., RecordedNvml]:
    """``nvml("h100")`` is NVML on the recorded machine."""
    return lambda name, **more: RecordedNvml(read_recording(name), **more)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Path]:
    """``machine("mi300x")`` is the root of the recorded machine's files."""

    def plant(name: str | None = None, **files: str) -> Path:
        recorded = read_recording(name)["files"] if name else {}
        for place, text in {**recorded, **files}.items():
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.lstrip("\n"), encoding="utf-8")
        return tmp_path

    return plant
