"""A container to start, as one value: for Docker's API, and to show to the user."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from stoker.errors import UsageError
from stoker.planning import Argument
from stoker.planning.serving_plan import Value

OWNER_LABEL = "io.stoker.owner"
PLAN_LABEL = "io.stoker.plan"
OWNER = "stoker"
#: The engine's port inside, for a container whose port is not published.
PORT_LABEL = "io.stoker.port"
#: A network of containers that has no way out.
OFFLINE_NETWORK = "stoker-offline"
#: A container's log is kept this long: enough for a start with its tracebacks, never the disk.
LOG_MAX_SIZE, LOG_MAX_FILES = "20m", 3
#: Docker's default for a container's /dev/shm is 64 MB.
SHM_BYTES = 4 * 1024**3

_REASONS = {
    "--detach": "runs in the background; stoker logs shows its output",
    "--name": "one name, so that the next stoker up finds it again",
    "--label": "marks it as started by Stoker, and from which plan",
    "--gpus": "gives the container NVIDIA GPUs through the NVIDIA Container Toolkit",
    "--device": "gives the container the GPUs: what is inside opens them there",
    "--group-add": "the group that owns the GPUs' devices; the image has no name for it",
    "--ipc": "the engine's processes pass tensors through /dev/shm, of which Docker gives 64 MB; "
    "with the host's there is no such limit",
    "--shm-size": "the engine's processes pass tensors through /dev/shm, of which Docker gives "
    "64 MB; the container keeps its own IPC namespace, so the size must be set",
    "--publish": "only this machine reaches the engine; others go through the gateway",
    "--network": "the weights are on this machine, so the engine gets no way out: this network is "
    f"internal (docker network create --internal {OFFLINE_NETWORK}), and this machine reaches the "
    "engine at the container's own address",
    "--restart": "comes back after a crash or a reboot, and not after stoker down",
    "--log-opt": "its log can't fill the disk",
    "--security-opt": "nothing inside can gain privileges that it did not start with",
    "--env": "taken from the environment, so that it shows in no process list",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host inside the container."""

    source: str
    target: str
    reason: str
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Mount:
        """From ``HOST:CONTAINER`` or ``HOST:CONTAINER:ro``. Raises ``UsageError`` for others."""
        source, _, rest = text.partition(":")
        target, _, mode = rest.partition(":")
        if not (source.startswith("/") and target.startswith("/") and mode in ("", "ro", "rw")):
            raise UsageError(
                f"{text!r} is not a folder to mount.",
                fix="Write two absolute folders: --volume /on/this/machine:/in/the/container:ro.",
            )
        return cls(source, target, "asked for with --volume", read_only=mode == "ro")

    def __str__(self) -> str:
        return f"{self.source}:{self.target}" + (":ro" if self.read_only else "")


@dataclass(frozen=True, slots=True)
class ContainerLaunch:
    """A container to start. ``env`` carries secrets: it goes through the API, never a command."""

    name: str
    image: str
    command: tuple[str, ...]
    #: The engine's port inside, and the loopback port of the host that leads to it.
    inner_port: int
    port: int
    #: What ``command`` consists of, with the reason for each.
    arguments: tuple[Argument, ...] = ()
    mounts: tuple[Mount, ...] = ()
    gpus: bool = False
    #: GPUs' devices and folders of such, and the numbers of the groups that own them.
    devices: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()
    #: Share the host's IPC namespace; otherwise /dev/shm has ``shm_bytes``.
    host_ipc: bool = True
    shm_bytes: int = SHM_BYTES
    #: Put it in a network without a way out, where ``port`` is not used.
    offline: bool = False
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: The variables of ``env`` that are not secret, each with its reason: their values are shown.
    shown_env: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        """What identifies it later: who started it, and from which plan."""
        labels = {OWNER_LABEL: OWNER, PLAN_LABEL: self.fingerprint}
        return {**labels, PORT_LABEL: str(self.inner_port)} if self.offline else labels

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that two launches share only if they start the same thing."""
        parts = [self.image, str(self.gpus), str(self.host_ipc), *map(str, self.mounts)]
        parts += [OFFLINE_NETWORK] if self.offline else []
        parts += [*self.devices, *map(str, self.groups)]
        return hashlib.sha256("\0".join([*parts, *self.command]).encode()).hexdigest()[:12]

    @property
    def flags(self) -> tuple[Argument, ...]:
        """The same as flags of ``docker run``, each with its reason."""
        found: list[tuple[str, Value]] = [("--detach", True), ("--name", self.name)]
        found += [("--label", f"{key}={value}") for key, value in self.labels.items()]
        found += [("--gpus", "all")] if self.gpus else []
        found += [("--device", device) for device in self.devices]
        found += [("--group-add", group) for group in self.groups]
        shm = f"{self.shm_bytes // 1024**3}g"
        shared = ("--shm-size", shm)  # Podman refuses it beside --ipc=host
        found += [("--ipc", "host") if self.host_ipc else shared]
        found += [("--volume", str(mount)) for mount in self.mounts]
        published = ("--publish", f"127.0.0.1:{self.port}:{self.inner_port}")
        found += [("--network", OFFLINE_NETWORK) if self.offline else published]
        found += [("--restart", "unless-stopped")]
        found += [
            ("--log-opt", f"max-size={LOG_MAX_SIZE}"),
            ("--log-opt", f"max-file={LOG_MAX_FILES}"),
        ]
        found += [("--security-opt", "no-new-privileges")]
        found += [
            ("--env", f"{name}={self.env[name]}" if name in self.shown_env else name)
            for name in sorted(self.env)
        ]
        return tuple(Argument(name, value, self._reason(name, value)) for name, value in found)

    def _reason(self, flag: str, value: Value) -> str:
        if flag == "--volume":
            return next(mount.reason for mount in self.mounts if str(mount) == value)
        if flag == "--env":
            return self.shown_env.get(str(value).partition("=")[0], _REASONS[flag])
        return _REASONS[flag]

    @property
    def parts(self) -> tuple[Argument, ...]:
        """The flags, the image and the engine's arguments, each with its reason."""
        image = Argument("image", self.image, "a pinned version; stoker up --image takes another")
        return (*self.flags, image, *self.arguments)

    @property
    def argv(self) -> tuple[str, ...]:
        """The ``docker run`` command that starts the same container."""
        flags = [f.name if f.value is True else f"{f.name}={f.value}" for f in self.flags]
        return ("docker", "run", *flags, self.image, *self.command)
