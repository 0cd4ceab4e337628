"""Where an engine runs: in a container, or as a process of a Python environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stoker import paths
from stoker.engines import embedded
from stoker.engines.base import Options
from stoker.engines.container_spec import Mount
from stoker.errors import StokerError, UsageError
from stoker.host import ContainerRuntime, Host

_LLAMA_CPP, _VLLM = "llama.cpp", "vllm"
_HAS_VLLM = "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"
_TOOLKIT = (
    "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
)


def place(
    engine: str,
    host: Host,
    *,
    python: str | None = None,
    native: bool = False,
    image: str | None = None,
    name: str | None = None,
    private_ipc: bool = False,
    volumes: Sequence[str] = (),
    here: bool = True,
    dry_run: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Options:
    """How ``engine`` is run here. Raises ``StokerError`` where it can't be, and says why.

    vLLM runs in a container where there is a runtime, unless a Python is named (``python``) or an
    environment of Stoker's own is asked for (``native``). That is made now, unless ``dry_run``; a
    Python on a machine that is not ``here`` is not looked at.
    """
    if engine != _VLLM:
        return Options()
    gpus = _has_nvidia(host)
    if python is not None or native:
        if python is not None:
            return Options(python=_checked(python) if here else python, gpus=gpus)
        return Options(python=_own_environment(gpus, say, install=not dry_run), gpus=gpus)
    for volume in volumes:
        Mount.parse(volume)  # a wrong one is said before anything is started
    problem = _no_container(host)
    if problem is not None:
        raise problem
    runtime = _usable(host)
    return Options(
        image=image,
        name=name,
        endpoint=runtime.endpoint if runtime else None,
        gpus=gpus,
        private_ipc=private_ipc,
        volumes=tuple(volumes),
    )


def why_not_startable(
    engine: str, host: Host, *, here: bool = True, python: str | None = None, native: bool = False
) -> StokerError | None:
    """Why ``engine`` can't be started on ``host``; ``None`` where it can. Starts nothing itself.

    ``here`` is whether ``host`` is this machine: only then is it known what is installed. A Python
    that is named is taken to have vLLM; ``place`` looks.
    """
    if engine == _LLAMA_CPP:
        return None if not here or embedded.installed() else embedded.not_installed()
    if engine != _VLLM:
        return StokerError(
            f"Stoker does not start {engine}.",
            "It runs by itself, with settings of its own.",
            "Start it with the settings of the plan, then: stoker adopt URL.",
        )
    if python is not None:
        return None
    if native:
        return None if _has_nvidia(host) else _no_own_environment()
    return _no_container(host)


def _has_nvidia(host: Host) -> bool:
    return any(gpu.vendor == "nvidia" for gpu in host.gpus)


def _no_container(host: Host) -> StokerError | None:
    """Why vLLM can't run in a container on ``host``."""
    if host.gpus and not _has_nvidia(host):
        return StokerError(
            "Stoker can't start vLLM on this GPU.",
            "The containers that it starts reach NVIDIA GPUs only; it has none for ROCm.",
            "Name a Python that has vLLM for ROCm: stoker up --python PATH. Or start vLLM's ROCm "
            "container yourself, then: stoker adopt URL.",
        )
    runtime = _usable(host)
    if runtime is None:
        problems = " ".join(r.problem for r in host.runtimes if r.problem)
        return StokerError(
            "vLLM has nowhere to run.",
            problems or "Neither Docker nor Podman was found.",
            "Start Docker, name a Python that has vLLM (stoker up --python PATH), or let Stoker "
            "make one (stoker up --native).",
        )
    if host.gpus and not runtime.nvidia:
        return no_gpus_in_containers(runtime, host)
    return None


def _usable(host: Host) -> ContainerRuntime | None:
    return next((r for r in host.runtimes if r.reachable and r.endpoint), None)


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
            f"{python} can't be run.", f"The system says: {error.strerror}."
        ) from error
    if looked.returncode != 0:
        raise UsageError(
            f"{python} has no vLLM.",
            "The module vllm is not installed in its environment.",
            f"Install it: {python} -m pip install vllm. Or leave --python out for a container.",
        )
    return python


def _own_environment(gpus: bool, say: Callable[[str], None], *, install: bool) -> str:
    """The Python of an environment with vLLM in Stoker's cache, made when it is not there yet."""
    from stoker.engines import vllm  # noqa: PLC0415  (an HTTP client comes with it)

    folder = paths.cache_dir() / f"vllm-{vllm.VERSION}"
    python = folder / "bin" / "python"
    if (folder / "installed").exists():
        return str(python)
    if not gpus:
        raise _no_own_environment()
    if not install:
        return str(python)
    say(f"Installing vLLM {vllm.VERSION} in {folder} (about 8 GB)")
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", f"vllm=={vllm.VERSION}"])
    Path(folder / "installed").touch()
    return str(python)


def _no_own_environment() -> StokerError:
    return StokerError(
        "Stoker makes environments with vLLM for NVIDIA GPUs only, and there is none.",
        "vLLM for the CPU is another package that needs PyTorch built for the CPU.",
        "Use the container, or name a Python that has vLLM: stoker up --python PATH.",
    )


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise StokerError(
            "vLLM can't be installed.",
            f"{command[0]} says: {said[-1] if said else 'nothing'}",
            "Install it yourself, and name its Python: stoker up --python PATH.",
        ) from error
