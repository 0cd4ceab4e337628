"""What is deployed: replicas of a plan, the gateways in front of them, and what they share."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from stoker.deploy.cluster import Cluster
from stoker.engines import ReplicaContainer
from stoker.errors import UsageError
from stoker.planning import Plan

#: Versions that the files were tried with. A site names others, or a digest, in ``Images``.
POSTGRES = "docker.io/library/postgres:17.6-bookworm"
REDIS = "docker.io/library/redis:8.2.2-bookworm"
NGINX = "docker.io/nginxinc/nginx-unprivileged:1.29.2-bookworm"
PROMETHEUS = "docker.io/prom/prometheus:v3.6.0"
PYTHON = "docker.io/library/python:3.12.12-slim-bookworm"
#: https://pypi.org/project/vllm-router/
ROUTER_VERSION = "0.1.17"

#: What every format takes as a name: a DNS label (RFC 1123), with room for ``-gateway-12``.
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
#: https://github.com/distribution/reference/blob/main/regexp.go, without what no registry needs:
#: the name becomes a line of other files, and a word of commands.
_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._/:@-]*")
#: https://www.rfc-editor.org/rfc/rfc1123#page-13
_HOST = re.compile(
    r"(?=.{1,253}$)[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?"
    r"(\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*"
)
#: The most replicas of one deployment.
MOST_REPLICAS = 64
#: No server has more, and each is written into the files.
_MOST_GPUS = 64
_MOST_GATEWAYS = 16
_PORTS = range(1, 65536)


@dataclass(frozen=True, slots=True)
class Images:
    """The container images of a site. One with ``@sha256:`` is the same wherever it is pulled."""

    #: What each replica runs; the engine's own choice where it is empty.
    engine: str = ""
    #: The base of the image that holds Stoker and vllm-router.
    python: str = PYTHON
    postgres: str = POSTGRES
    redis: str = REDIS
    nginx: str = NGINX
    prometheus: str = PROMETHEUS


@dataclass(frozen=True, slots=True)
class SiteRequest:
    """How a plan is to be deployed. Raises ``UsageError`` where it contradicts itself."""

    #: The name of an exporter.
    format: str
    replicas: int = 1
    gateways: int = 2
    #: People who use it, as the plan was made for.
    users: int = 1
    name: str = "stoker"
    #: Where clients reach it.
    bind: str = "127.0.0.1"
    port: int = 8000
    #: The host name in the certificate; ``None`` serves plain HTTP.
    tls_host: str | None = None
    #: Prometheus, with Stoker's alerts, is part of it.
    monitoring: bool = True
    images: Images = field(default_factory=Images)
    cluster: Cluster = field(default_factory=Cluster)

    def __post_init__(self) -> None:
        _check_range("--replicas", self.replicas, MOST_REPLICAS)
        _check_range("--gateways", self.gateways, _MOST_GATEWAYS)
        _check_range("--users", self.users, 1_000_000)
        if self.port not in _PORTS:
            raise UsageError(f"{self.port} is not a port.", fix="A port is from 1 to 65535.")
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} can't be the name of a site.",
                "It becomes a part of the names of containers, units and services.",
                "Use lower-case letters, digits and hyphens, 40 at most, and a letter first.",
            )
        most = self.cluster.max_replicas
        if most is not None and not self.replicas < most <= MOST_REPLICAS:
            raise UsageError(
                f"--cluster max_replicas={most} is out of range.",
                f"It is what --replicas {self.replicas} may grow to.",
                f"It is from {self.replicas + 1} to {MOST_REPLICAS}.",
            )
        if not _is_address(self.bind):
            raise UsageError(
                f"{self.bind!r} is not an address to listen on.",
                fix="Write one IP address of the machine, or 0.0.0.0 for all of them.",
            )
        if self.tls_host is not None and not _HOST.fullmatch(self.tls_host):
            raise UsageError(
                f"{self.tls_host!r} is not the name of a host.",
                fix="Write a name such as models.example.com.",
            )
        images = [getattr(self.images, name) for name in Images.__dataclass_fields__]
        for image in filter(None, (*images, self.cluster.gateway_image, self.cluster.picker_image)):
            _check_image(image)

    @property
    def shared_stores(self) -> bool:
        """Several gateways count limits and usage together: they need Redis and PostgreSQL."""
        return self.gateways > 1

    @property
    def scheme(self) -> str:
        """``https`` where the site has a certificate."""
        return "https" if self.tls_host else "http"

    @property
    def bind_host(self) -> str:
        """``bind`` as it stands before a port: an IPv6 address in brackets."""
        return f"[{self.bind}]" if ":" in self.bind else self.bind

    @property
    def endpoint(self) -> str:
        """The address for clients, as far as it is known."""
        reached = "127.0.0.1" if self.bind in ("0.0.0.0", "::") else self.bind_host  # noqa: S104
        return f"{self.scheme}://{self.tls_host or reached}:{self.port}"


@dataclass(frozen=True, slots=True)
class Site:
    """What is to be deployed. Raises ``UsageError`` for a plan that can't be."""

    plan: Plan
    #: What each replica runs.
    engine: ReplicaContainer
    #: The version of Stoker that the gateways run.
    stoker_version: str
    request: SiteRequest
    #: Names of models that it served before: replicas answer to them too (``Launcher.replica``).
    earlier_models: tuple[str, ...] = ()
    #: GPUs of the one machine that everything runs on; ``None`` where that is not known.
    machine_gpus: int | None = None

    def __post_init__(self) -> None:
        self._check_plan()
        _check_image(self.engine.image)
        self._check_texts()

    def _check_plan(self) -> None:
        """A plan comes from a file: its numbers are ones that a server can have."""
        if 0 <= self.plan.gpus <= _MOST_GPUS and self.plan.max_model_len > 0:
            return
        raise UsageError(
            "The plan can't be deployed.",
            f"It has {self.plan.gpus:,} GPUs and a context of {self.plan.max_model_len:,} tokens.",
            "Make it again: stoker plan --json",
        )

    def _check_texts(self) -> None:
        """A plan comes from a file: what becomes a line of another file holds no line end."""
        texts = [self.plan.model.id, *self.engine.command]
        texts += [f"{one.name}={one.value}" for one in self.engine.env]
        texts += self.engine.model_folder or ()
        wrong = next((text for text in texts if not text.isprintable()), None)
        if wrong is not None:
            raise UsageError(
                f"The plan can't be deployed: {wrong!r} holds a control character.",
                "It would become another line in the files.",
                "Correct the plan.",
            )

    @property
    def gpus(self) -> int:
        """GPUs that all replicas take together; 0 on the CPU."""
        return self.request.replicas * self.plan.gpus

    def gpus_of(self, replica: int) -> range:
        """The numbers of the GPUs of a replica, which are counted from 0; empty on the CPU."""
        first = replica * self.plan.gpus
        return range(first, first + self.plan.gpus)

    def check_one_machine(self) -> None:
        """Raise ``UsageError`` where one machine is known not to have GPUs for all replicas."""
        if self.machine_gpus is None or self.gpus <= self.machine_gpus:
            return
        raise UsageError(
            f"{self.request.replicas} replicas do not fit on this machine.",
            f"They take {self.gpus} GPUs, {self.plan.gpus} each, and it has {self.machine_gpus}.",
            f"Use --replicas {max(1, self.machine_gpus // self.plan.gpus)}, or deploy to "
            "Kubernetes.",
        )


def _check_image(image: str) -> None:
    if not _IMAGE.fullmatch(image):
        raise UsageError(
            f"{image!r} is not the name of an image.",
            fix="Write it like registry.example.com/vllm:1.0, or with @sha256:DIGEST.",
        )


def _is_address(text: str) -> bool:
    """Whether it is an IP address: containers' ports are published on nothing else."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _check_range(option: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise UsageError(f"{option} {value} is out of range.", fix=f"It is from 1 to {most:,}.")
