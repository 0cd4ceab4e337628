"""Containers through Docker's API, which Podman speaks too: find, adopt, start, follow, stop.

A container is Stoker's own only by its label. One without it is named to the user and never
touched, whatever it is called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import docker
import docker.errors
import docker.types
import requests.exceptions

from stoker import host, network_addresses
from stoker.engines import ContainerLaunch
from stoker.engines.container_spec import (
    LOG_MAX_FILES,
    LOG_MAX_SIZE,
    OWNER,
    OWNER_LABEL,
    PLAN_LABEL,
)
from stoker.errors import StokerError
from stoker.server import container_network
from stoker.server.diagnosis.log_diagnosis import diagnose

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]

_API_TIMEOUT_S = 60
_API_ERRORS = (docker.errors.DockerException, requests.exceptions.RequestException)


#: Docker notes the start of a container a moment after its process runs (0.4 ms were seen): by
#: that time alone, what it printed first would be left out. Between two runs lies more.
_STARTED_LATE_S = 0.1


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container that exists."""

    id: str
    name: str
    image: str
    status: Status
    ours: bool
    #: The fingerprint of the launch that it was made from; ``None`` where Stoker did not create it.
    plan: str | None
    command: tuple[str, ...]
    started_at: str
    exit_code: int
    out_of_memory: bool
    #: What the runtime itself reports as the error, such as a missing program in the image.
    error: str
    #: Where this machine reaches its engine.
    address: tuple[str, int] | None
    environment: tuple[str, ...]
    #: Whether the runtime confirms what was asked for: Podman leaves both out without an error.
    has_gpus: bool = False
    log_is_limited: bool = False

    @property
    def url(self) -> str:
        """The base URL of its engine; one that nothing answers at where it is not reached."""
        host, port = self.address or ("127.0.0.1", 0)
        return network_addresses.endpoint(host, port)

    @property
    def alive(self) -> bool:
        """Whether its processes exist."""
        return self.status in ("running", "paused")

    @property
    def how_it_ended(self) -> str:
        """Why it is not running, in a phrase."""
        if self.out_of_memory:
            return "it used more memory than its limit and was killed"
        if self.error:
            return self.error
        if self.exit_code > 128:
            return f"it was ended by signal {self.exit_code - 128}"
        return f"it ended with exit code {self.exit_code}"


class Containers:
    """The containers of one runtime. Raises ``StokerError`` where it can't be used."""

    def __init__(self, endpoint: str | None = None) -> None:
        where = endpoint or usable_endpoint()
        try:
            self._client = docker.DockerClient(base_url=where, timeout=_API_TIMEOUT_S)
        except _API_ERRORS as error:
            raise explained(error, f"Docker can't be reached at {where}.") from error

    def find(self, name: str) -> ContainerState | None:
        """The container called ``name``, running or not."""
        try:
            return _found(self._client.containers.get(name).attrs)
        except docker.errors.NotFound:
            return None
        except _API_ERRORS as error:
            raise explained(error) from error

    def has_image(self, image: str) -> bool:
        """Whether the image is on this machine."""
        try:
            self._client.images.get(image)
        except docker.errors.ImageNotFound:
            return False
        except _API_ERRORS as error:
            raise explained(error) from error
        return True

    def pull(self, image: str) -> Iterator[str]:
        """Pull the image, and yield its progress now and then."""
        layers: dict[str, tuple[int, int]] = {}
        done: set[str] = set()
        try:
            for event in self._client.api.pull(image, stream=True, decode=True):
                if "error" in event:
                    raise docker.errors.APIError(event["error"])
                layer, detail = event.get("id", ""), event.get("progressDetail") or {}
                if detail.get("total"):
                    layers[layer] = (int(detail.get("current", 0)), int(detail["total"]))
                if event.get("status") in ("Pull complete", "Already exists"):
                    done.add(layer)
                    yield _pull_progress(layers, done)
        except _API_ERRORS as error:
            raise explained(error, f"The image {image} can't be pulled.") from error

    def create(self, launch: ContainerLaunch) -> ContainerState:
        """Create the container and start it. One that can't start is removed again.

        So is one that lacks the GPUs that it was to have.
        """
        container: Any = None
        try:
            if launch.offline:
                container_network.ensure(self._client)
            container = self._client.containers.create(**_as_docker_wants(launch))
            if (launch.gpus or launch.devices) and not _found(container.attrs).has_gpus:
                raise _no_gpus(launch)
            container.start()
            container.reload()
        except (*_API_ERRORS, StokerError) as error:
            if container is not None:
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True)
            if isinstance(error, StokerError):
                raise
            raise explained(error, f"The container {launch.name} can't be started.") from error
        return _found(container.attrs)

    def unpause(self, found: ContainerState) -> ContainerState:
        """Resume it."""
        container = self._client.containers.get(found.id)
        try:
            container.unpause()
            container.reload()
        except _API_ERRORS as error:
            raise explained(error, f"The container {found.name} can't be resumed.") from error
        return _found(container.attrs)

    def log(self, name: str, since: str | None = None, *, follow: bool = False) -> Iterator[bytes]:
        """Its log as it comes from the runtime: pieces that need not end where lines do."""
        options: dict[str, Any] = {"stdout": True, "stderr": True, "stream": True, "follow": follow}
        if since is not None:
            options["since"] = _seconds(since) - _STARTED_LATE_S
        try:
            yield from self._client.containers.get(name).logs(**options)
        except docker.errors.NotFound as error:
            raise StokerError(
                f"There is no container called {name}.", fix="See which there are: docker ps --all."
            ) from error
        except _API_ERRORS as error:
            raise explained(error) from error

    def stop(self, name: str, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after ``grace_s``. Does nothing where there is no such container."""
        try:
            container = self._client.containers.get(name)
            if container.status == "paused":
                container.unpause()  # a frozen process can't shut down cleanly
            container.stop(timeout=round(grace_s))
        except docker.errors.NotFound:
            return
        except _API_ERRORS as error:
            raise explained(error, f"The container {name} can't be stopped.") from error

    def remove(self, name: str) -> bool:
        """Remove Stoker's container. Whether there was one; another program's is left alone."""
        found = self.find(name)
        if found is None or not found.ours:
            return False
        with contextlib.suppress(docker.errors.NotFound):
            self._client.containers.get(found.id).remove(force=True)
        container_network.remove_unused(self._client)
        return True


def ensure(
    containers: Containers,
    launch: ContainerLaunch,
    *,
    replace: bool,
    report: Callable[[str], None],
) -> ContainerState:
    """The container of this launch, running: adopted, replaced or created.

    One that ended is replaced by a new one of the current image; what must last is in mounts.

    Raises ``StokerError`` where another container has the name: one that Stoker did not create, or
    unless ``replace`` one of Stoker's own with another plan.
    """
    found = containers.find(launch.name)
    if found is None:
        return _make(containers, launch, report)
    if not found.ours:
        raise _not_ours(found)
    same = found.plan == launch.fingerprint
    if same and found.status == "running":
        report(f"container {found.name} runs with the same plan: adopted")
        return found
    if same and found.status == "paused":
        report(f"container {found.name} was paused: resumed")
        return containers.unpause(found)
    if found.alive and not replace:
        raise _other_plan(found, launch)
    why = f"differs: {'; '.join(differences(found, launch))}" if found.alive else found.how_it_ended
    report(f"container {found.name} is replaced: {why}")
    containers.stop(found.name, grace_s=10)
    containers.remove(found.name)
    return _make(containers, launch, report)


def differences(found: ContainerState, launch: ContainerLaunch) -> list[str]:
    """What differs between a container and the launch that is wanted, a phrase each."""
    phrases = [] if found.image == launch.image else [f"image {found.image} -> {launch.image}"]
    have, want = _by_flag(found.command), _by_flag(launch.command)
    phrases += [
        f"{flag} {have.get(flag, 'unset')} -> {want.get(flag, 'unset')}"
        for flag in sorted(have.keys() | want.keys())
        if have.get(flag) != want.get(flag)
    ]
    return phrases or ["mounts or container flags"]


def usable_endpoint() -> str:
    """The socket of a runtime that answers. Raises ``StokerError`` where none does, with why."""
    runtimes = host.find_container_runtimes()
    for runtime in runtimes:
        if runtime.reachable and runtime.endpoint:
            return runtime.endpoint
    problems = [runtime.problem for runtime in runtimes if runtime.problem]
    raise StokerError(
        "No container can be started.",
        " ".join(problems),
        "Start Docker, or run vLLM from a Python environment: stoker up --python PATH.",
    )


def explained(error: Exception, what: str = "Docker refused.") -> StokerError:
    """The error of the runtime's API, with the catalogue's cause and fix where it has them."""
    text = str(getattr(error, "explanation", None) or error)
    known = diagnose(text.splitlines())
    if known is None or not known.in_catalogue:
        return StokerError(
            what, text, "Run the command that stoker up --dry-run prints to see more."
        )
    # The runtime names the program, image or port; the catalogue does not.
    return StokerError(what, f"{known.title}: {known.cause} The runtime reports: {text}", known.fix)


def _make(
    containers: Containers, launch: ContainerLaunch, report: Callable[[str], None]
) -> ContainerState:
    if not containers.has_image(launch.image):
        report(f"pulling image {launch.image}")
        for progress in containers.pull(launch.image):
            report(f"pull image: {progress}")
    made = containers.create(launch)
    if not made.log_is_limited:
        report(
            f"container {made.name}: the runtime confirms no limit on its log, which may fill the "
            "disk. With Podman, set log_size_max in containers.conf."
        )
    return made


def _as_docker_wants(launch: ContainerLaunch) -> dict[str, Any]:
    gpus = docker.types.DeviceRequest(driver="", count=-1, capabilities=[["gpu"]])
    return {
        "image": launch.image,
        "command": list(launch.command),
        "name": launch.name,
        "labels": launch.labels,
        "environment": dict(launch.env),
        "device_requests": [gpus] if launch.gpus else [],
        "devices": [f"{device}:{device}:rwm" for device in launch.devices],
        "group_add": list(launch.groups),
        "ipc_mode": "host" if launch.host_ipc else None,
        # Podman refuses a size beside the host's shared memory, which has its own.
        "shm_size": None if launch.host_ipc else launch.shm_bytes,
        "volumes": [str(mount) for mount in launch.mounts],
        **container_network.wiring(launch),
        "restart_policy": {"Name": "unless-stopped"},
        "log_config": docker.types.LogConfig(
            type="json-file",
            config={"max-size": LOG_MAX_SIZE, "max-file": str(LOG_MAX_FILES)},
        ),
        "security_opt": ["no-new-privileges"],
        "detach": True,
    }


def _found(attrs: dict[str, Any]) -> ContainerState:
    state, config = attrs["State"], attrs["Config"]
    labels = config.get("Labels") or {}
    host_config = attrs.get("HostConfig", {})
    return ContainerState(
        id=attrs["Id"],
        name=attrs["Name"].lstrip("/"),
        image=config["Image"],
        status=cast(Status, state["Status"]),
        ours=labels.get(OWNER_LABEL) == OWNER,
        plan=labels.get(PLAN_LABEL),
        command=tuple(config.get("Cmd") or ()),
        started_at=state.get("StartedAt", ""),
        exit_code=int(state.get("ExitCode", 0)),
        out_of_memory=bool(state.get("OOMKilled")),
        error=state.get("Error", ""),
        address=container_network.address(attrs),
        environment=tuple(config.get("Env") or ()),
        has_gpus=bool(host_config.get("DeviceRequests") or host_config.get("Devices")),
        log_is_limited="max-size" in ((host_config.get("LogConfig") or {}).get("Config") or {}),
    )


def _by_flag(command: tuple[str, ...]) -> dict[str, str]:
    flags: dict[str, str] = {}
    for position, part in enumerate(command):
        if part.startswith("--"):
            following = command[position + 1 : position + 2]
            flags[part] = following[0] if following and not following[0].startswith("--") else "on"
    return flags


def _pull_progress(layers: dict[str, tuple[int, int]], done: set[str]) -> str:
    total = sum(total for _, total in layers.values())
    got = sum(total if layer in done else got for layer, (got, total) in layers.items())
    return f"{len(done)} layers, {got / 1e9:.1f} of {total / 1e9:.1f} GB"


def _seconds(stamp: str) -> float:
    """Docker's RFC 3339 with nanoseconds, as seconds since the epoch."""
    from datetime import datetime, timezone  # noqa: PLC0415

    whole, _, fraction = stamp.rstrip("Z").partition(".")
    moment = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
    return moment.timestamp() + float(f"0.{fraction or 0}")


def _no_gpus(launch: ContainerLaunch) -> StokerError:
    return StokerError(
        f"The container {launch.name} would have no GPU.",
        "The runtime left out the GPUs that were asked for, without an error. Podman does so with "
        "every request that comes through its Docker API.",
        "Use Docker. Or start it yourself: describe the GPUs, sudo nvidia-ctk cdi generate "
        "--output=/etc/cdi/nvidia.yaml, run what stoker up --dry-run prints with podman run and "
        f"--device=nvidia.com/gpu=all for --gpus=all, then: stoker adopt "
        f"http://127.0.0.1:{launch.port}.",
    )


def _not_ours(found: ContainerState) -> StokerError:
    return StokerError(
        f"There is a container called {found.name} that Stoker did not start.",
        f"It is {found.status} and made from {found.image}. Stoker touches only its own.",
        f"Put a model behind the gateway that it serves with stoker adopt, give yours another name "
        f"with stoker up --name, or rename it: docker rename {found.name} other-name.",
    )


def _other_plan(found: ContainerState, launch: ContainerLaunch) -> StokerError:
    return StokerError(
        f"The container {found.name} runs with another plan.",
        f"It differs from what you asked for: {'; '.join(differences(found, launch))}.",
        "Add --replace to replace it.",
    )
