"""NVML's answers become GPUs, and what it cannot answer becomes ``None`` or a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

from stoker.host.nvidia import nvidia_gpus

MIB = 1024**2


@pytest.mark.parametrize(
    ("name", "count", "total_mib", "free_mib", "capability", "cuda"),
    [
        ("rtx-4060-laptop-wsl2", 1, 8188, 8188, (8, 9), "12.8"),
        ("rtx-3090-x2", 2, 24576, 2711, (8, 6), "13.3"),
        ("rtx-4090", 1, 24564, 24057, (8, 9), "12.4"),
        ("a100-40", 2, 40960, 40362, (8, 0), "13.0"),
        ("h100", 1, 81559, 61263, (9, 0), "13.1"),
        ("h100-idle", 1, 81559, 81079, (9, 0), "13.0"),
        ("h200-idle", 1, 143771, 143156, (9, 0), "13.0"),
        ("h200-x8", 8, 143771, 125578, (9, 0), "12.9"),
    ],
)
def test_reads_name_memory_capability_and_versions(
    *,
    name: str,
    count: int,
    total_mib: int,
    free_mib: int,
    capability: tuple[int, int],
    cuda: str,
    nvml: Callable[..., Any],
    recording: Callable[[str], dict[str, Any]],
) -> None:
    reading = nvidia_gpus(nvml(name))
    recorded = recording(name)
    assert reading.problem is None
    assert [gpu.index for gpu in reading.gpus] == list(range(count))
    assert [gpu.name for gpu in reading.gpus] == [gpu["name"] for gpu in recorded["gpu"]]
    first = reading.gpus[0]
    assert first.memory_total_bytes == total_mib * MIB
    assert first.memory_free_bytes == free_mib * MIB
    assert first.compute_capability == capability
    assert (first.driver, first.cuda) == (recorded["driver_version"], cuda)


def test_lists_what_holds_memory_once_and_largest_first(nvml: Callable[..., Any]) -> None:
    processes = nvidia_gpus(nvml("h100")).gpus[0].processes
    assert [(p.pid, p.name) for p in processes] == [
        (11345, "gpu_burn"),
        (11327, "memhog"),
        (11328, "memhog"),
    ]
    assert processes[0].memory_bytes == 15690 * MIB


def test_a_program_that_nvml_cannot_name_is_still_listed(nvml: Callable[..., Any]) -> None:
    library = nvml("h100")
    library.nvmlSystemGetProcessName = _refuse(pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION))
    assert {p.name for p in nvidia_gpus(library).gpus[0].processes} == {"unknown"}


def test_a_gpu_without_memory_of_its_own_has_no_memory_reading(nvml: Callable[..., Any]) -> None:
    (gpu,) = nvidia_gpus(nvml("gb10")).gpus
    assert (gpu.memory_total_bytes, gpu.memory_free_bytes) == (None, None)
    assert gpu.compute_capability == (12, 1)


def test_a_divided_gpu_is_its_slices_each_with_its_own_memory(nvml: Callable[..., Any]) -> None:
    gpus = nvidia_gpus(nvml("h100-mig")).gpus
    assert [gpu.memory_total_bytes for gpu in gpus] == [m * MIB for m in (40448, 20096, 9984, 9984)]
    assert [gpu.index for gpu in gpus] == [0, 1, 2, 3]
    assert all(gpu.uuid and gpu.uuid.startswith("MIG-") for gpu in gpus)
    assert {gpu.compute_capability for gpu in gpus} == {(9, 0)}


def test_a_gpu_with_mig_on_and_no_slices_takes_no_work(nvml: Callable[..., Any]) -> None:
    library = nvml("h100-mig")
    del library.recording["gpu"][0]["slice"]
    assert nvidia_gpus(library).gpus == ()


def test_a_lost_gpu_does_not_hide_the_others(nvml: Callable[..., Any]) -> None:
    library = nvml("rtx-3090-x2")
    library.recording["gpu"][0]["lost"] = True
    (gpu,) = nvidia_gpus(library).gpus
    assert gpu.memory_free_bytes == (24576 - 21487) * MIB


QUESTIONS = [
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion_v2",
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlShutdown",
]


def test_the_recordings_answer_nothing_that_the_real_library_does_not(
    nvml: Callable[..., Any],
) -> None:
    questions = [name for name in dir(nvml("h100")) if name.startswith("nvml")]
    assert set(QUESTIONS) <= set(questions)
    assert [name for name in questions if not callable(getattr(pynvml, name, None))] == []


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "error",
    [
        pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION),
        pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
        pynvml.NVMLLibraryMismatchError("driver older than pynvml"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ],
    ids=repr,
)
def test_one_unanswered_question_costs_only_its_own_answer(
    question: str, error: Exception, nvml: Callable[..., Any]
) -> None:
    library = nvml("h100")
    setattr(library, question, _refuse(error))
    (gpu,) = nvidia_gpus(library).gpus
    known = [gpu.driver, gpu.cuda, gpu.memory_total_bytes, gpu.compute_capability]
    assert sum(value is None for value in known) <= 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "restart the machine"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "may not use"),
        (pynvml.NVML_ERROR_UNKNOWN, "error"),
    ],
)
def test_a_driver_that_will_not_start_is_explained(
    error: int, expected: str, nvml: Callable[..., Any]
) -> None:
    reading = nvidia_gpus(nvml("h100", init_error=error))
    assert reading.gpus == ()
    assert reading.problem is not None
    assert expected in reading.problem


def test_a_card_without_a_driver_is_mentioned(
    machine: Callable[..., Path], nvml: Callable[..., Any]
) -> None:
    root = machine(
        **{
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de",
            "sys/bus/pci/devices/0000:01:00.0/device": "0x28e0",
            "sys/bus/pci/devices/0000:01:00.0/class": "0x030000",
        }
    )
    library = nvml("h100", init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert "driver is not installed" in (nvidia_gpus(library, root).problem or "")


def test_a_container_without_its_gpus_is_distinguished_from_a_missing_driver(
    machine: Callable[..., Path], nvml: Callable[..., Any]
) -> None:
    root = machine(
        **{
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de",
            "sys/bus/pci/devices/0000:01:00.0/device": "0x2330",
            "sys/bus/pci/devices/0000:01:00.0/class": "0x030200",
            "sys/module/nvidia/version": "590.48.01",
        }
    )
    library = nvml("h100", init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert "--gpus all" in (nvidia_gpus(library, root).problem or "")


def test_no_library_and_no_card_is_no_problem(tmp_path: Path, nvml: Callable[..., Any]) -> None:
    library = nvml("h100", init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    assert nvidia_gpus(library, tmp_path).problem is None


def _refuse(error: Exception) -> Callable[..., Any]:
    def question(*_arguments: Any) -> Any:
        raise error

    return question
