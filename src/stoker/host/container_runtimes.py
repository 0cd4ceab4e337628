"""Read what Docker and Podman report on their API sockets."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stoker.host.hardware import ContainerRuntime
from stoker.host.sysfs import children

Name = Literal["docker", "podman"]

#: A running daemon answers in milliseconds; one that has just started took 0.6 s when measured.
ANSWER_WITHIN_S = 1.5
_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
_TITLES: dict[Name, str] = {"docker": "Docker", "podman": "Podman"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where to look: the environment, the home folder, the root, and how to find a program.

    ``answer_within_s`` is how long a daemon may take for one answer.
    """

    env: Mapping[str, str]
    home: Path
    root: Path = Path("/")
    which: Callable[[str], str | None] = shutil.which
    answer_within_s: float = ANSWER_WITHIN_S


def here() -> Surroundings:
    """The surroundings of this process."""
    return Surroundings(os.environ, Path.home())


def find_container_runtimes() -> tuple[ContainerRuntime, ...]:
    """Docker and Podman, in the order in which they are preferred."""
    at = here()
    return (docker(at), podman(at))


def docker(at: Surroundings) -> ContainerRuntime:
    """Docker's daemon, whichever socket it listens on."""
    named = at.env.get("DOCKER_HOST")
    runtime_dir = Path(at.env.get("XDG_RUNTIME_DIR", "/nonexistent"))
    usual = (
        at.root / "var/run/docker.sock",
        runtime_dir / "docker.sock",
        at.home / ".docker/desktop/docker.sock",
        at.home / ".docker/run/docker.sock",
    )
    return _probe("docker", named, usual, at)


def podman(at: Surroundings) -> ContainerRuntime:
    """Podman's API service, which systemd starts on demand where it is enabled."""
    named = at.env.get("CONTAINER_HOST")
    runtime_dir = Path(at.env.get("XDG_RUNTIME_DIR", "/nonexistent"))
    usual = (
        runtime_dir / "podman/podman.sock",
        at.root / "run/podman/podman.sock",
        at.home / ".local/share/containers/podman/machine/podman.sock",
    )
    return _probe("podman", named, usual, at)


def _probe(
    name: Name, named: str | None, usual: Iterable[Path], at: Surroundings
) -> ContainerRuntime:
    silent = ContainerRuntime(name, reachable=False)
    if sys.platform == "win32":
        return replace(silent, problem="On Windows, containers are used from WSL 2 only.")
    if named and not named.startswith("unix://"):
        where = "DOCKER_HOST" if name == "docker" else "CONTAINER_HOST"
        return replace(silent, problem=f"{where} names another machine; only local ones are used.")
    sockets = [Path(named.removeprefix("unix://"))] if named else list(usual)
    present = [path for path in sockets if _exists(path)]
    if not present:
        return replace(silent, problem=_no_socket(name, at))
    for path in present:
        try:
            info = _get(path, "/info", at.answer_within_s)
            version = _get(path, "/version", at.answer_within_s)
        except (OSError, ValueError) as error:
            silent = replace(silent, problem=_why(name, path, error))
            continue
        return _described(name, path, info, version, at.root)
    return silent


def _described(
    name: Name, path: Path, info: Mapping[str, Any], version: Mapping[str, Any], root: Path
) -> ContainerRuntime:
    """Podman serves Docker's API too, so one function reads both."""
    options = info.get("SecurityOptions") or ()
    return ContainerRuntime(
        name,
        reachable=True,
        version=version.get("Version"),
        endpoint=f"unix://{path}",
        nvidia=_gives_nvidia_gpus(name, info, root),
        rootless=any("rootless" in option for option in options) or bool(info.get("Rootless")),
        desktop="Docker Desktop" in str(info.get("OperatingSystem", "")),
    )


def _gives_nvidia_gpus(name: Name, info: Mapping[str, Any], root: Path) -> bool:
    """Whether there is NVIDIA's runtime, a device that Docker (from 28.3) found, or a CDI file."""
    if "nvidia" in (info.get("Runtimes") or {}):
        return True
    devices = info.get("DiscoveredDevices") or ()
    if any(str(device.get("ID", "")).startswith("nvidia.com/gpu") for device in devices):
        return True
    folders = info.get("CDISpecDirs") or (_CDI_FOLDERS if name == "podman" else ())
    return _has_nvidia_cdi(root, folders)


def _has_nvidia_cdi(root: Path, folders: Iterable[str]) -> bool:
    """``nvidia-ctk cdi generate`` writes ``nvidia.yaml``; other tools ``nvidia.com-gpu.json``."""
    return any(
        spec.name.startswith("nvidia") and spec.suffix in (".yaml", ".json")
        for folder in folders
        for spec in children(root / folder.lstrip("/"))
    )


def _exists(path: Path) -> bool:
    """True also where the folder can't be read: connecting then gives the reason."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _get(path: Path, question: str, within_s: float) -> Mapping[str, Any]:
    """One GET on a socket. Docker's own library would cost 300 ms to import for it."""
    import http.client  # noqa: PLC0415  (only where there is a socket)
    import json  # noqa: PLC0415

    connection = http.client.HTTPConnection("localhost", timeout=within_s)
    connection.sock = _connect(path, within_s)
    try:
        connection.request("GET", question)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if response.status != http.client.OK or not isinstance(answer, dict):
        raise ValueError(f"{question} was answered with status {response.status}")
    return answer


def _connect(path: Path, within_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(within_s)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _no_socket(name: Name, at: Surroundings) -> str:
    title = _TITLES[name]
    if at.which(name) is None:
        return f"{title} is not installed."
    if name == "podman":
        return (
            "Podman is installed, but its API is off: "
            "turn it on with `systemctl --user enable --now podman.socket`."
        )
    return "Docker is installed, but its daemon is not running: start Docker."


def _why(name: Name, path: Path, error: Exception) -> str:
    title = _TITLES[name]
    if isinstance(error, PermissionError):
        return (
            f"You may not use {path}: add yourself to the `{name}` group "
            "(`sudo usermod -aG docker $USER`) and log in again."
            if name == "docker"
            else f"You may not use {path}: use rootless Podman, or ask its owner."
        )
    if isinstance(error, ConnectionRefusedError):
        return f"{title}'s daemon is not running: {path} is there, but nothing listens on it."
    if isinstance(error, TimeoutError):
        return f"{title} did not answer on {path} in time: restart it."
    return f"{title} gave no valid answer on {path}: {error}."
