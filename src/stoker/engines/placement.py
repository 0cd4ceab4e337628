"""Where an engine runs on a host: in a container, or as a process of a Python environment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from stoker.engines.base import Options, PlacementRequest
from stoker.engines.registry import get, lookup
from stoker.errors import StokerError
from stoker.host import ContainerRuntime, Host
from stoker.planning import Plan

#: What ROCm's programs open, and what Vulkan's do: https://rocm.docs.amd.com and
#: https://docs.kernel.org/gpu/drm-uapi.html.
KFD, DRI = "/dev/kfd", "/dev/dri"
_TOOLKIT = (
    "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
)


def place(plan: Plan, host: Host, wanted: PlacementRequest) -> Options:
    """How ``plan`` is run on ``host``. Raises ``StokerError`` where it can't be, with the reason.

    Nothing is installed: ``install`` does that.
    """
    return get(plan.engine).place(plan, host, wanted)


def install(engine: str, wanted: PlacementRequest) -> Iterator[str]:
    """Install what ``place`` relies on and this machine lacks; one line before each long step."""
    return get(engine).install(wanted)


def why_not_startable(
    engine: str, host: Host, *, here: bool = True, python: str | None = None, native: bool = False
) -> StokerError | None:
    """Why ``engine`` can't be started on ``host``; ``None`` where it can. Starts nothing itself.

    ``here`` is whether ``host`` is this machine: only then is it known what is installed. A Python
    that is named is taken to have the engine; ``place`` looks.
    """
    launcher = lookup(engine).launcher
    if launcher is None:
        return StokerError(
            f"Stoker does not start {engine}.",
            "You start it yourself, with its own settings.",
            "Start it with the settings of the plan, then: stoker adopt URL.",
        )
    return launcher.obstacle(host, PlacementRequest(python=python, native=native, here=here))


def usable_runtime(host: Host) -> ContainerRuntime | None:
    """The container runtime that engines run in, where there is one."""
    return next((r for r in host.runtimes if r.reachable and r.endpoint), None)


def reaches_containers(runtime: ContainerRuntime) -> bool:
    """Whether this machine reaches a container at an address of its own, without a published port.

    Docker Desktop keeps its containers in a virtual machine, runtimes without root in a network
    namespace; of Podman's internal networks nothing was measured.
    """
    return runtime.name == "docker" and not (runtime.rootless or runtime.desktop)


def container_devices(host: Host, *, here: bool, root: Path = Path("/")) -> tuple[str, ...]:
    """What a container is given of GPUs that are not NVIDIA's; nothing where it can't be.

    A host elsewhere is taken to have the devices of its GPUs. Docker Desktop's virtual machine and
    WSL have none.
    """
    runtime = usable_runtime(host)
    vendors = {gpu.vendor for gpu in host.gpus}
    if runtime is None or runtime.desktop or host.wsl2 or host.system != "Linux":
        return ()
    wanted = (KFD, DRI) if "amd" in vendors else (DRI,) if "intel" in vendors else ()
    return tuple(path for path in wanted if not here or (root / path.lstrip("/")).exists())


def owning_groups(devices: tuple[str, ...], root: Path = Path("/")) -> tuple[int, ...]:
    """The groups that own the devices: an image has no names for them, and other numbers."""
    found: set[int] = set()
    for device in devices:
        path = root / device.lstrip("/")
        for node in (path, *path.glob("renderD*")) if path.is_dir() else (path,):
            with contextlib.suppress(OSError):
                found.add(node.stat().st_gid)
    return tuple(sorted(found - {0}))


def no_gpus_in_containers(runtime: ContainerRuntime, host: Host) -> StokerError:
    """Why ``runtime`` gives containers no NVIDIA GPU, and how to change that."""
    title = "Docker Desktop" if runtime.desktop else runtime.name.capitalize()
    driver = " The NVIDIA driver belongs on Windows, not in WSL." if host.wsl2 else ""
    # Not every WSL distribution runs systemd.
    restart = "sudo service docker restart" if host.wsl2 else "sudo systemctl restart docker"
    if runtime.desktop:
        fix = (
            "In Docker Desktop turn on the WSL 2 engine and, under Resources, the integration with "
            "this distribution; the NVIDIA driver belongs on Windows, not in WSL."
        )
    elif runtime.name == "podman" or runtime.rootless:
        fix = (
            "Describe the GPUs: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml. "
            f"{_TOOLKIT}{driver}"
        )
    else:
        fix = (
            "Install the NVIDIA Container Toolkit, then: sudo nvidia-ctk runtime configure "
            f"--runtime=docker && {restart}. {_TOOLKIT}{driver}"
        )
    return StokerError(
        f"{title} can't give a container the GPU.",
        "It knows neither NVIDIA's runtime nor a CDI description of the GPUs.",
        fix,
    )
