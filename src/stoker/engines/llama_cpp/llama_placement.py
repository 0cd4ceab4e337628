"""Where llama.cpp runs: in this Python, or on a GPU that its build has no kernels for in an image.

The build on PyPI computes on the CPU; its makers' images are built for CUDA, ROCm and Vulkan.
"""

from __future__ import annotations

from stoker.engines.base import Options, PlacementRequest
from stoker.engines.container_spec import Mount
from stoker.engines.llama_cpp import xllamacpp_package
from stoker.engines.llama_cpp.llama_launch import runs_on_gpu
from stoker.engines.placement import (
    container_devices,
    no_gpus_in_containers,
    owning_groups,
    reaches_containers,
    usable_runtime,
)
from stoker.errors import StokerError
from stoker.host import Host
from stoker.planning import Plan


def uses_gpu(host: Host) -> bool:
    """Whether llama.cpp can use the GPU of ``host``, this machine, as it is or in a container."""
    return xllamacpp_package.offloads() or _reaches_gpu(host, here=True)


def place(plan: Plan, host: Host, wanted: PlacementRequest) -> Options:
    """In a container where an image is named, or the GPU is reached in no other way.

    Raises ``StokerError`` where an image is named and there is no container runtime for it.
    """
    if not _in_container(plan, host, wanted):
        return Options()
    runtime = usable_runtime(host)
    if runtime is None or not runtime.endpoint:
        raise _no_runtime(host)
    for volume in wanted.volumes:
        Mount.parse(volume)  # a wrong one is refused before anything is started
    nvidia = _has_nvidia(host) and runs_on_gpu(plan)
    if nvidia and not runtime.nvidia:
        raise no_gpus_in_containers(runtime, host)
    devices = container_devices(host, here=wanted.here) if runs_on_gpu(plan) else ()
    return Options(
        image=wanted.image,
        name=wanted.name,
        endpoint=runtime.endpoint,
        gpus=nvidia,
        devices=devices,
        groups=owning_groups(devices) if wanted.here else (),
        volumes=wanted.volumes,
        offline_network=reaches_containers(runtime),
    )


def also_fetched(plan: Plan, host: Host, wanted: PlacementRequest) -> str:
    """The image, where llama.cpp runs in a container."""
    if not _in_container(plan, host, wanted):
        return ""
    return "Docker or Podman pulls llama.cpp's image for this GPU if it is missing."


def _in_container(plan: Plan, host: Host, wanted: PlacementRequest) -> bool:
    if wanted.image is not None:
        return True
    if wanted.native or not runs_on_gpu(plan) or not _reaches_gpu(host, here=wanted.here):
        return False
    return not (wanted.here and xllamacpp_package.offloads())


def _reaches_gpu(host: Host, *, here: bool) -> bool:
    """Whether containers reach the GPU. Podman leaves NVIDIA's out, asked through this API."""
    runtime = usable_runtime(host)
    if runtime is None:
        return False
    if _has_nvidia(host):
        return runtime.nvidia and runtime.name == "docker"
    return bool(container_devices(host, here=here))


def _has_nvidia(host: Host) -> bool:
    return any(gpu.vendor == "nvidia" for gpu in host.gpus)


def _no_runtime(host: Host) -> StokerError:
    problems = " ".join(runtime.problem for runtime in host.runtimes if runtime.problem)
    return StokerError(
        "llama.cpp's image has nowhere to run.",
        problems or "Neither Docker nor Podman was found.",
        "Start Docker, or leave --image out: llama.cpp then runs without a container.",
    )
