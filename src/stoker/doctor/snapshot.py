"""The doctor's readings as one frozen value, which a test can write by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stoker.host import Host, HubAnswer, MemoryHolder
from stoker.models import Kept
from stoker.server import Deployment
from stoker.vscode import Look, Shipped

#: Why an address gave no usable answer.
Failure = Literal["refused", "unresolved", "timeout", "broken-off", "certificate", "invalid"]
#: Why a certificate was refused.
CertificateFault = Literal["expired", "name", "untrusted"]
#: The probes that run at the same time, besides those of editors and addresses.
Probe = Literal[
    "the machine",
    "memory",
    "the model hub",
    "the hub's token",
    "models",
    "downloads",
    "the port",
    "the container",
]
TokenState = Literal["none", "set", "malformed", "accepted", "refused"]


@dataclass(frozen=True, slots=True)
class Port:
    """The gateway's address on this machine. ``holder`` is the program that listens on it."""

    bind: str
    port: int
    free: bool
    holder: str | None = None
    next_free: int | None = None


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model as an endpoint lists it."""

    id: str
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointReading:
    """The answers of one address, queried as VS Code queries it. ``url`` ends before ``/v1``."""

    url: str
    failure: Failure | None = None
    #: The status of ``GET /v1/models``.
    status: int | None = None
    #: ``None`` where the answer is not a list of models as in OpenAI's API.
    models: tuple[ListedModel, ...] | None = None
    #: A Stoker gateway's version, and whether it can answer a chat now.
    stoker_version: str | None = None
    ready: bool | None = None
    #: How many servers it forwards to, and how many of them are up.
    backends: int = 0
    backends_up: int = 0
    took_ms: int = 0
    certificate_fault: CertificateFault | None = None
    certificate_days: int | None = None
    clock_ahead_s: float | None = None
    #: Whether a key was sent.
    with_key: bool = False

    @property
    def works(self) -> bool:
        """Whether VS Code could chat with it.

        It lists models, or asks for a key that VS Code may have.
        """
        locked = self.status in (401, 403) and not self.with_key
        is_reached = self.failure is None and self.certificate_fault is None
        return is_reached and (bool(self.models) or locked)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The deployment's model file. ``size_bytes`` is ``None`` where the file is missing."""

    path: Path
    size_bytes: int | None
    planned_bytes: int | None


@dataclass(frozen=True, slots=True)
class Readings:
    """Everything that was read of the chain, before any check."""

    host: Host
    shipped: Shipped
    stoker_version: str
    port: Port
    deployment: Deployment | None = None
    #: Whether the deployment's supervisor runs, and whether its engine's process does;
    #: ``None`` for an engine that is not a process of this machine.
    running: bool = False
    engine_alive: bool | None = None
    engine_pids: frozenset[int] = frozenset()
    #: The programs that use most of main memory, including Stoker's own engine.
    memory_holders: tuple[MemoryHolder, ...] = ()
    container_status: str | None = None
    model_file: ModelFile | None = None
    #: Folders that Stoker needs to write to and can't.
    unwritable: tuple[Path, ...] = ()
    kept: Kept | None = None
    models_here: int = 0
    hub: HubAnswer | None = None
    offline: bool = False
    token: TokenState = "none"  # noqa: S105  (a state, not a token)
    #: The proxy variables that are set, in upper case.
    proxies: dict[str, str] = field(default_factory=dict)
    no_proxy: str = ""
    editors: tuple[Look, ...] = ()
    #: The settings files that ``stoker code`` wrote.
    connected: tuple[str, ...] = ()
    #: Configured endpoint text -> the answers of that address.
    endpoints: dict[str, EndpointReading] = field(default_factory=dict)
    #: The address that the user asked about, if any.
    asked: str | None = None
    #: The probes without an answer in time, and how long all of them took.
    unseen: tuple[Probe, ...] = ()
    took_s: float = 0.0
