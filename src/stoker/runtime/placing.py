"""Where an engine runs: in a container, or as a process of a Python environment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from stoker import paths
from stoker.engines import Mount, Options
from stoker.errors import StokerError, UsageError
from stoker.host import ContainerRuntime, Host

_VLLM = "vllm"
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
    say: Callable[[str], None] = lambda _: None,
) -> Options:
    """How ``engine`` is run here. Raises ``StokerError`` where it can't be, and says why.

    vLLM runs in a container where there is a runtime, unless a Python is named (``python``) or an
    environment of Stoker's own is asked for (``native``).
    """
    if engine != _VLLM:
        return Options()
    gpus = any(gpu.vendor == "nvidia" for gpu in host.gpus)
    if python is not None or native:
        chosen = _checked(python) if python is not None else _own_environment(gpus, say)
        return Options(python=chosen, gpus=gpus)
    for volume in volumes:
        Mount.parse(volume)  # a wrong one is said before anything is started
    runtime = _usable(host)
    if gpus and not runtime.nvidia:
        raise no_gpus_in_containers(runtime, host)
    return Options(
        image=image,
        name=name,
        endpoint=runtime.endpoint,
        gpus=gpus,
        private_ipc=private_ipc,
        volumes=tuple(volumes),
    )


def _usable(host: Host) -> ContainerRuntime:
    for runtime in host.runtimes:
        if runtime.reachable and runtime.endpoint:
            return runtime
    problems = " ".join(r.problem for r in host.runtimes if r.problem)
    raise StokerError(
        "vLLM has nowhere to run.",
        problems or "Neither Docker nor Podman was found.",
        "Start Docker, name a Python that has vLLM (stoker up --python PATH), or let Stoker make "
        "one (stoker up --native).",
    )


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


def _own_environment(gpus: bool, say: Callable[[str], None]) -> str:
    """An environment with vLLM in Stoker's cache, made when it is first asked for."""
    from stoker.engines import vllm  # noqa: PLC0415  (an HTTP client comes with it)

    folder = paths.cache_dir() / f"vllm-{vllm.VERSION}"
    python = folder / "bin" / "python"
    if (folder / "installed").exists():
        return str(python)
    if not gpus:
        raise StokerError(
            "Stoker makes environments with vLLM for NVIDIA GPUs only, and there is none.",
            "vLLM for the CPU is another package that needs PyTorch built for the CPU.",
            "Use the container, or name a Python that has vLLM: stoker up --python PATH.",
        )
    say(f"Installing vLLM {vllm.VERSION} in {folder} (about 8 GB)")
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "install", f"vllm=={vllm.VERSION}"])
    Path(folder / "installed").touch()
    return str(python)


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
