"""Where engines run, and for each obstacle one message with its fix."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.server.scripted_engine import PLAN

from stoker.engines import Options, PlacementRequest
from stoker.engines.llama_cpp import xllamacpp_package
from stoker.engines.placement import container_devices, install, owning_groups, place
from stoker.errors import StokerError, UsageError
from stoker.host import ContainerRuntime, Cpu, Host, Memory, find_gpu
from stoker.planning import Argument

DOCKER = ContainerRuntime("docker", reachable=True, endpoint="unix:///docker.sock", nvidia=True)
PODMAN = ContainerRuntime("podman", reachable=True, endpoint="unix:///podman.sock", nvidia=True)
CPU_HOST = Host(
    "Linux", "x86_64", Cpu("cpu", 8, 16), Memory(64 << 30, 48 << 30), runtimes=(DOCKER,)
)
GPU_HOST = replace(CPU_HOST, gpus=(find_gpu("RTX 4090").gpu(),))
AMD_HOST = replace(CPU_HOST, gpus=(find_gpu("RX 7900 XTX").gpu(),))
VLLM = replace(PLAN, engine="vllm")
LLAMA = replace(PLAN, engine="llama.cpp", gpus=0)
LLAMA_ON_GPU = replace(LLAMA, gpus=1, arguments=(Argument("n_gpu_layers", -1, ""),))
ANYWHERE = PlacementRequest()
ELSEWHERE = PlacementRequest(here=False)


def refused(host: Host, wanted: PlacementRequest = ANYWHERE) -> StokerError:
    with pytest.raises(StokerError) as caught:
        place(VLLM, host, wanted)
    return caught.value


def test_container_is_the_default_and_has_the_gpu() -> None:
    there = Options(endpoint="unix:///docker.sock", offline_network=True)
    assert place(VLLM, GPU_HOST, ANYWHERE) == replace(there, gpus=True)
    assert place(VLLM, CPU_HOST, ANYWHERE) == there


@pytest.mark.parametrize(
    "runtime", [PODMAN, replace(DOCKER, rootless=True), replace(DOCKER, desktop=True)]
)
def test_a_container_that_is_reached_by_its_published_port_only_keeps_its_network(
    runtime: ContainerRuntime,
) -> None:
    host = replace(CPU_HOST, runtimes=(runtime,))
    assert not place(VLLM, host, ANYWHERE).offline_network


def test_podman_is_used_where_docker_is_not() -> None:
    silent = ContainerRuntime("docker", reachable=False, problem="Docker is not installed.")
    host = replace(GPU_HOST, runtimes=(silent, PODMAN))
    assert place(VLLM, host, ANYWHERE).endpoint == "unix:///podman.sock"


def test_llama_cpp_on_the_cpu_needs_no_container() -> None:
    assert place(LLAMA, CPU_HOST, ANYWHERE) == Options()


def test_no_runtime_explains_why_each_can_not_be_used() -> None:
    down = ContainerRuntime("docker", reachable=False, problem="Docker's daemon is not running.")
    denied = ContainerRuntime("podman", reachable=False, problem="You may not use the socket.")
    error = refused(replace(CPU_HOST, runtimes=(down, denied)))
    assert error.why == "Docker's daemon is not running. You may not use the socket."
    assert "--python" in error.fix


@pytest.mark.parametrize(
    ("runtime", "wsl2", "title", "fix"),
    [
        (replace(DOCKER, nvidia=False), False, "Docker", "nvidia-ctk runtime configure"),
        (replace(DOCKER, nvidia=False, rootless=True), False, "Docker", "nvidia-ctk cdi generate"),
        (replace(DOCKER, nvidia=False, desktop=True), False, "Docker Desktop", "WSL 2 engine"),
        (replace(DOCKER, nvidia=False, desktop=True), True, "Docker Desktop", "WSL 2 engine"),
        (
            replace(DOCKER, nvidia=False),
            True,
            "Docker",
            "configure --runtime=docker && sudo service",
        ),
        (replace(PODMAN, nvidia=False), False, "Podman", "nvidia-ctk cdi generate"),
    ],
    ids=["toolkit", "rootless", "desktop", "wsl2-desktop", "wsl2-native", "podman"],
)
def test_runtime_without_gpus_has_its_own_fix(
    runtime: ContainerRuntime, wsl2: bool, title: str, fix: str
) -> None:
    error = refused(replace(GPU_HOST, runtimes=(runtime,), wsl2=wsl2))
    assert error.what == f"{title} can't give a container the GPU."
    assert fix in error.fix
    assert ("Docker Desktop" in error.fix) == runtime.desktop
    assert not wsl2 or "driver belongs on Windows" in error.fix


def test_python_that_is_named_must_have_vllm() -> None:
    error = refused(CPU_HOST, PlacementRequest(python=sys.executable))
    assert isinstance(error, UsageError)
    assert f"{sys.executable} has no vLLM" in error.what
    assert "can't be run" in refused(CPU_HOST, PlacementRequest(python="/nonexistent/python")).what


def test_environment_of_stokers_own_is_for_gpus() -> None:
    assert "for NVIDIA GPUs only" in refused(CPU_HOST, PlacementRequest(native=True)).what


@pytest.mark.usefixtures("home")
def test_environment_of_stokers_own_is_announced_before_it_is_made() -> None:
    own = PlacementRequest(native=True)
    python = place(VLLM, GPU_HOST, own).python
    assert python is not None
    line = next(install("vllm", own))
    assert line.startswith("Installing vLLM")
    assert str(Path(python).parents[1]) in line
    assert not Path(python).exists()


def test_nothing_is_installed_for_a_container_or_a_python_that_is_named() -> None:
    assert list(install("vllm", ANYWHERE)) == []
    assert list(install("vllm", PlacementRequest(python=sys.executable, native=True))) == []
    assert list(install("llama.cpp", ANYWHERE)) == []


def test_empty_volume_is_refused_before_anything_starts() -> None:
    assert (
        "is not a folder to mount"
        in refused(GPU_HOST, PlacementRequest(volumes=("/only-one",))).what
    )


@pytest.fixture
def cpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed llama.cpp finds no GPU, whatever this machine has."""
    monkeypatch.setattr(xllamacpp_package, "offloads", lambda: False)


@pytest.mark.usefixtures("cpu_build")
def test_llama_cpp_built_for_the_cpu_takes_its_image_for_the_gpu() -> None:
    options = place(LLAMA_ON_GPU, GPU_HOST, ANYWHERE)
    assert (options.endpoint, options.gpus) == ("unix:///docker.sock", True)
    assert place(LLAMA, GPU_HOST, ANYWHERE) == Options()  # nothing of it is on the GPU
    assert place(LLAMA_ON_GPU, GPU_HOST, PlacementRequest(native=True)) == Options()


def test_llama_cpp_built_for_the_gpu_needs_no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xllamacpp_package, "offloads", lambda: True)
    assert place(LLAMA_ON_GPU, GPU_HOST, ANYWHERE) == Options()


@pytest.mark.usefixtures("cpu_build")
@pytest.mark.parametrize("runtime", [PODMAN, replace(DOCKER, nvidia=False)])
def test_a_runtime_that_leaves_the_gpu_out_is_not_taken_for_it(runtime: ContainerRuntime) -> None:
    assert place(LLAMA_ON_GPU, replace(GPU_HOST, runtimes=(runtime,)), ANYWHERE) == Options()


def test_amd_gpus_elsewhere_are_passed_on_as_devices() -> None:
    for plan in (VLLM, LLAMA_ON_GPU):
        options = place(plan, AMD_HOST, ELSEWHERE)
        assert options.devices == ("/dev/kfd", "/dev/dri")
        assert not options.gpus


def test_an_image_that_is_named_needs_a_runtime() -> None:
    named = PlacementRequest(image="llama:mine")
    assert place(LLAMA, CPU_HOST, named).image == "llama:mine"
    with pytest.raises(StokerError, match="nowhere to run") as caught:
        place(LLAMA, replace(CPU_HOST, runtimes=()), named)
    assert "--image" in caught.value.fix


def test_devices_that_are_not_there_are_not_passed_on(tmp_path: Path) -> None:
    assert container_devices(AMD_HOST, here=True, root=tmp_path) == ()
    nodes = tmp_path / "dev/dri"
    nodes.mkdir(parents=True)
    (nodes / "renderD128").touch()
    os.chown(nodes / "renderD128", -1, os.getgid())
    assert container_devices(AMD_HOST, here=True, root=tmp_path) == ("/dev/dri",)
    expected = {os.getgid(), nodes.stat().st_gid} - {0}
    assert set(owning_groups(("/dev/dri", "/dev/kfd"), root=tmp_path)) == expected
    desktop = replace(AMD_HOST, runtimes=(replace(DOCKER, desktop=True),))
    assert container_devices(desktop, here=False) == ()


def test_vllm_without_rocms_device_names_it() -> None:
    error = refused(replace(AMD_HOST, runtimes=(replace(DOCKER, desktop=True),)))
    assert "/dev/kfd" in error.why
    assert "--python" in error.fix
