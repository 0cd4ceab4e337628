"""Where vLLM runs: in a container, or as a process of a Python environment that has it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stoker.engines.base import Options, PlacementRequest
from stoker.engines.container_spec import Mount
from stoker.engines.placement import (
    KFD,
    container_devices,
    no_gpus_in_containers,
    owning_groups,
    reaches_containers,
    usable_runtime,
)
from stoker.engines.vllm.vllm_launch import VERSION, own_environment, own_python
from stoker.errors import StokerError, UsageError
from stoker.host import Host
from stoker.planning import Plan

_HAS_VLLM = "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"


def place(plan: Plan, host: Host, wanted: PlacementRequest) -> Options:
    """How vLLM is run on ``host``. Raises ``StokerError`` where it can't be, with the reason.

    It runs in a container where there is a runtime, unless a Python is named or an environment of
    Stoker's own is asked for, which ``install`` makes. A Python on a machine that is not this one
    is not looked at.
    """
    gpus = _has_nvidia(host)
    if wanted.python is not None:
        return Options(python=_checked(wanted.python) if wanted.here else wanted.python, gpus=gpus)
    if wanted.native:
        if not gpus and not _installed().exists():
            raise _no_own_environment()
        return Options(python=own_python(), gpus=gpus)
    for volume in wanted.volumes:
        Mount.parse(volume)  # a wrong one is refused before anything is started
    problem = _no_container(host, here=wanted.here)
    if problem is not None:
        raise problem
    devices = container_devices(host, here=wanted.here)
    runtime = usable_runtime(host)
    return Options(
        image=wanted.image,
        name=wanted.name,
        endpoint=runtime.endpoint if runtime else None,
        gpus=gpus,
        devices=devices,
        groups=owning_groups(devices) if wanted.here else (),
        private_ipc=wanted.private_ipc,
        volumes=wanted.volumes,
        offline_network=runtime is not None and reaches_containers(runtime),
    )


def obstacle(host: Host, wanted: PlacementRequest) -> StokerError | None:
    """Why vLLM can't be started on ``host``. A Python that is named is taken to have it."""
    if wanted.python is not None:
        return None
    if wanted.native:
        return None if _has_nvidia(host) else _no_own_environment()
    return _no_container(host, here=wanted.here)


def assumed(plan: Plan, host: Host) -> str:
    """What a host elsewhere is taken to have."""
    return "Docker or Podman, whose containers reach the GPU"


def also_fetched(plan: Plan, host: Host, wanted: PlacementRequest) -> str:
    """The image, where vLLM runs in a container."""
    if wanted.python or wanted.native:
        return ""
    return "Docker or Podman pulls vLLM's image if it is missing."


def install(wanted: PlacementRequest) -> Iterator[str]:
    """Make the environment of Stoker's own where it is asked for and not there yet."""
    if wanted.python is not None or not wanted.native or _installed().exists():
        return
    folder, python = own_environment(), own_python()
    yield f"Installing vLLM {VERSION} in {folder}, several GB"
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([python, "-m", "pip", "install", f"vllm=={VERSION}"])
    _installed().touch()


def _has_nvidia(host: Host) -> bool:
    return any(gpu.vendor == "nvidia" for gpu in host.gpus)


def _no_container(host: Host, *, here: bool) -> StokerError | None:
    """Why vLLM can't run in a container on ``host``."""
    runtime = usable_runtime(host)
    if runtime is None:
        problems = " ".join(r.problem for r in host.runtimes if r.problem)
        return StokerError(
            "vLLM has nowhere to run.",
            problems or "Neither Docker nor Podman was found.",
            "Start Docker, name a Python that has vLLM (stoker up --python PATH), or let Stoker "
            "make one (stoker up --native).",
        )
    if _has_nvidia(host):
        return None if runtime.nvidia else no_gpus_in_containers(runtime, host)
    if host.gpus and KFD not in container_devices(host, here=here):
        return StokerError(
            "Stoker can't start vLLM on this GPU.",
            f"Its image for AMD's GPUs opens {KFD}, which containers here do not reach.",
            "Install AMD's driver (amdgpu) and start Docker on Linux itself, or name a Python that "
            "has vLLM for ROCm: stoker up --python PATH.",
        )
    return None


def _checked(python: str) -> str:
    """A Python that has vLLM. Raises ``UsageError`` for another."""
    try:
        # Looked for, not imported: importing vLLM takes seconds.
        looked = subprocess.run(
            [python, "-c", _HAS_VLLM],
            check=False,
            capture_output=True,
            timeout=60,
        )
    except OSError as error:
        raise UsageError(
            f"{python} can't be run.", f"The system reports: {error.strerror}."
        ) from error
    if looked.returncode != 0:
        raise UsageError(
            f"{python} has no vLLM.",
            "The module vllm is not installed in its environment.",
            f"Install it: {python} -m pip install vllm. Or leave --python out for a container.",
        )
    return python


def _installed() -> Path:
    """The file that marks the environment as complete."""
    return own_environment() / "installed"


def _no_own_environment() -> StokerError:
    return StokerError(
        "Stoker installs vLLM for NVIDIA GPUs only, and this machine has none.",
        "vLLM for the CPU is another package that needs PyTorch built for the CPU.",
        "Use the container, or name a Python that has vLLM: stoker up --python PATH.",
    )


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        printed = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise StokerError(
            "vLLM can't be installed.",
            f"{command[0]} printed: {printed[-1] if printed else 'nothing'}",
            "Install it yourself, and name its Python: stoker up --python PATH.",
        ) from error
