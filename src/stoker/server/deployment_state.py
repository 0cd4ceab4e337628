"""The deployment: what was launched and how it is now; written by the supervisor, read by all."""

from __future__ import annotations

import contextlib
import shlex
import tempfile
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from stoker import network_addresses, paths
from stoker.certificates.certificate_files import CertificateFiles
from stoker.database_addresses import SQLITE
from stoker.engines import Options
from stoker.errors import Problem, StokerError
from stoker.planning import Plan
from stoker.planning.draft_use import DraftUse
from stoker.private_files import write_private
from stoker.server.engine_state import EngineState, check_move
from stoker.server.processes import ProcessId

#: Version of the file's content. 1 had the fields of both parts side by side and no version; 2 knew
#: no completion engine. A Stoker that knows only 2 must not stop half of a deployment of 3.
SCHEMA_VERSION = 3
#: Earlier ones whose fields are all there today; what they lack has a default.
_READABLE_AS_THEY_ARE = (2, SCHEMA_VERSION)


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """When a phase of the start began, in seconds since the epoch."""

    name: str
    started_at: float
    #: How far it is, where that is known: "3 layers, 1.2 of 5.4 GB".
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CompletionSpec:
    """The second engine of a deployment, which completes code while the first one chats."""

    plan: Plan
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to launch and where: all that a start needs, and nothing that changes while it runs."""

    plan: Plan
    bind: str
    port: int
    #: The launch request's identity. The plan that follows from a request changes with the free
    #: memory, also with the memory that this deployment itself takes; the request does not.
    requirements: tuple[str, ...] = ()
    #: How the engine is run, where there is a choice.
    options: Options = field(default_factory=Options)
    #: Replace what runs now, and a container with another plan.
    replace: bool = False
    #: Arguments that the user set: Stoker does not correct them after a failed start.
    fixed: tuple[str, ...] = ()
    #: The options that ``stoker up`` was called with, as ``--name=value``, without the model.
    flags: tuple[str, ...] = ()
    #: Listen beyond this machine without keys.
    insecure: bool = False
    #: Where the gateway records usage, as ``usage_records.store_at`` reads it: without a password.
    usage: str = SQLITE
    #: The files of the gateway's certificate; ``None`` serves plain HTTP.
    tls: CertificateFiles | None = None
    #: The host by which programs address the gateway; empty where that follows from ``bind``.
    host: str = ""
    #: The engine beside it that completes code; ``None`` for one engine, as usual.
    completion: CompletionSpec | None = None

    @property
    def command(self) -> str:
        """The command that starts it again. It names the model even where Stoker chose it."""
        model = self.asked_model or self.plan.model.id
        return shlex.join(("stoker", "up", model, *self.flags))

    @property
    def asked_model(self) -> str:
        """The model that ``stoker up`` was called with; empty where Stoker chose it."""
        return self.requirements[0] if self.requirements and self.options.adopted is None else ""

    @property
    def endpoint(self) -> str:
        """The base URL for programs on this machine."""
        scheme = "https" if self.tls else "http"
        return network_addresses.endpoint(self.host or self.bind, self.port, scheme)


@dataclass(frozen=True, slots=True)
class LiveState:
    """How a deployment is now, or its completion engine."""

    status: EngineState = "starting"
    supervisor: ProcessId | None = None
    engine: ProcessId | None = None
    #: The engine's container, which outlives the supervisor.
    container: str | None = None
    phases: tuple[PhaseRecord, ...] = ()
    started_at: float = 0.0
    ready_at: float | None = None
    restarts: int = 0
    problem: Problem | None = None
    #: What its drafts bring; ``None`` where it drafts nothing, and before they show anything.
    drafts: DraftUse | None = None

    @property
    def answering(self) -> bool:
        """Whether its start is over and it was not given up; it may be silent at the moment."""
        return self.status in ("ready", "silent")

    @property
    def alive(self) -> bool:
        """Whether its supervisor runs. A number that now belongs to another program is not it."""
        return self.supervisor is not None and self.supervisor.process() is not None

    def moved(self, status: EngineState, **changes: Any) -> LiveState:
        """The state after a move of the engine. Raises ``ValueError`` for one that there is not."""
        check_move(self.status, status)
        return replace(self, status=status, **changes)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was launched, and how it is now."""

    spec: LaunchSpec
    state: LiveState = field(default_factory=LiveState)
    #: How its completion engine is. It is started once the first one is ready, and neither fails
    #: with the other. ``None`` where there is none, and before its start.
    completion: LiveState | None = None

    @property
    def engines(self) -> tuple[LiveState, ...]:
        """Its engines that were started."""
        return (self.state,) if self.completion is None else (self.state, self.completion)


def read() -> Deployment | None:
    """The deployment last written, running or not; ``None`` where there is none to be read.

    A file that another version of Stoker wrote may be unreadable: what it describes can't be
    managed from here.
    """
    try:
        content = msgspec.json.decode(paths.deployment_file().read_bytes())
        return msgspec.convert(_current_schema(content), Deployment, dec_hook=_decode)
    except (FileNotFoundError, RecursionError, UnicodeDecodeError, msgspec.DecodeError):
        return None


def write(deployment: Deployment) -> None:
    """Write it so that a reader sees the old or the new one, never a part. It holds no key."""
    spec, completion = deployment.spec, deployment.spec.completion
    if completion is not None:
        completion = replace(completion, plan=_written_plan(completion.plan))
    spec = replace(
        spec,
        plan=_written_plan(spec.plan),
        options=replace(spec.options, key=None),
        completion=completion,
    )
    parts = {"spec": spec, "state": deployment.state, "completion": deployment.completion}
    content = {"schema_version": SCHEMA_VERSION, **parts}
    write_private(paths.deployment_file(), msgspec.json.encode(content, enc_hook=_encode))


def _written_plan(plan: Plan) -> Plan:
    model = replace(plan.model, chat_template=None)
    if model.format == "gguf":
        # The header of such a file has the whole vocabulary in it, and can be read again.
        model = replace(model, architecture=None)
    return replace(plan, model=model)


def remove() -> None:
    """Forget the deployment."""
    with contextlib.suppress(FileNotFoundError):
        paths.deployment_file().unlink()


def state_folder() -> Path:
    """The state folder, made if need be. Raises ``StokerError`` where it can't be written."""
    folder = paths.state_dir()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise StokerError(
            f"Stoker can't write its state folder {folder}.",
            f"The system reports: {error.strerror}.",
            "Make the folder writable, or set STOKER_HOME to one that is.",
        ) from error


def _current_schema(content: Any) -> Any:
    """The file's content in today's form. Raises ``msgspec.ValidationError`` for a later schema."""
    if not isinstance(content, dict):
        return content
    version = content.get("schema_version", 1)
    if version == 1:
        return {part: _fields(kind, content) for part, kind in _PARTS}
    if version not in _READABLE_AS_THEY_ARE:
        raise msgspec.ValidationError(f"schema {version!r} is of another version of Stoker")
    return content


_PARTS = (("spec", LaunchSpec), ("state", LiveState))


def _fields(kind: Any, content: dict[str, Any]) -> dict[str, Any]:
    return {f.name: content[f.name] for f in fields(kind) if f.name in content}


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"can't write a {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is object:
        return value  # a config.json, as it is
    if issubclass(kind, Path):
        return Path(value)
    raise NotImplementedError(f"can't read a {kind.__name__}")
