"""The doctor's findings on real machines, from their drivers' recorded answers."""

from __future__ import annotations

from dataclasses import replace

import pynvml
import pytest
from tests.unit.doctor.states import DOCKER, EMPTY, HOST, NO_PODMAN
from tests.unit.host.conftest import RecordedNvml, read_recording

from stoker.doctor import Finding, Readings, diagnose, is_whole, report
from stoker.host.nvidia import nvidia_gpus


def with_nvidia(name: str, *, init_error: int | None = None, toolkit: bool = True) -> Readings:
    """A machine with the recorded GPUs, and Docker."""
    reading = nvidia_gpus(RecordedNvml(read_recording(name), init_error))
    runtimes = (replace(DOCKER, nvidia=toolkit), NO_PODMAN)
    problems = (reading.problem,) if reading.problem else ()
    host = replace(HOST, gpus=reading.gpus, runtimes=runtimes, problems=problems)
    return replace(EMPTY, host=host)


def reported(readings: Readings) -> dict[str, Finding]:
    return {finding.kind.id: finding for finding in diagnose(readings)}


@pytest.mark.parametrize(
    ("name", "count", "cuda"),
    [
        ("rtx-4060-laptop-wsl2", 1, "cuda.old"),
        ("rtx-3090-x2", 2, "cuda.ok"),
        ("rtx-4090", 1, "cuda.old"),
        ("a100-40", 2, "cuda.ok"),
        ("h100", 1, "cuda.ok"),
        ("h200-x8", 8, "cuda.old"),
        ("gb10", 1, "cuda.ok"),
    ],
)
def test_recorded_gpus_are_named_with_their_driver_and_cuda(
    name: str, count: int, cuda: str
) -> None:
    readings = with_nvidia(name)
    found = reported(readings)
    recorded = read_recording(name)
    assert found["driver.ok"].what.startswith(f"{count} x ")
    assert str(recorded["driver_version"]) in found["driver.ok"].what
    assert str(recorded["cuda_version"]) in found[cuda].what
    assert "toolkit.ok" in found


@pytest.mark.parametrize("name", ["rtx-3090-x2", "rtx-4090", "a100-40", "h100", "h200-x8"])
def test_a_report_names_gpus_that_the_catalogue_knows(name: str) -> None:
    readings = with_nvidia(name)
    text = report(readings, diagnose(readings))
    assert "&lt;gpu>" not in text
    assert str(read_recording(name)["driver_version"]) in text


def test_memory_that_others_hold_is_named_with_its_holders() -> None:
    held = reported(with_nvidia("h100"))["memory.gpu-held"].what
    assert "gpu_burn (pid 11345)" in held
    assert "use 19.8 of the 79.6 GiB of GPU 0" in held


def test_memory_without_a_known_holder_is_held_all_the_same() -> None:
    held = reported(with_nvidia("rtx-3090-x2"))["memory.gpu-held"].what
    assert "the driver does not name them" in held


def test_unnamed_memory_may_be_our_own_engines() -> None:
    readings = replace(with_nvidia("rtx-3090-x2"), running=True)
    assert "memory.gpu-held" not in reported(readings)


def test_a_driver_that_was_updated_while_it_ran_is_named() -> None:
    mismatch = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    found = reported(with_nvidia("rtx-4090", init_error=mismatch))
    assert "restart the machine" in found["driver.unusable"].what
    assert "looking.unread" not in found


def test_docker_without_the_toolkit_explains_how_to_set_it_up() -> None:
    found = reported(with_nvidia("a100-40", toolkit=False))
    assert "nvidia-ctk runtime configure" in found["toolkit.missing"].fix


def test_a_gpu_alone_breaks_nothing() -> None:
    broken = {f.kind.link for f in diagnose(with_nvidia("h100")) if f.state == "broken"}
    assert broken == {"engine", "endpoint"}
    assert not is_whole(diagnose(with_nvidia("h100")))
