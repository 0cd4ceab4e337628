"""The running deployment, as the supervisor writes it down and every command reads it."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import psutil
from filelock import FileLock, Timeout

from stoker import network_addresses, paths
from stoker.engines import Options
from stoker.errors import StokerError
from stoker.planning import Plan

Status = Literal["starting", "ready", "restarting", "failed"]

#: Two readings of one process's start differ by clock granularity, never by this much.
_SAME_START_S = 1.0


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process, told apart from a later one with the same number by when it started."""

    pid: int
    create_time: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The identity of a process that runs now. Raises ``psutil.NoSuchProcess``."""
        return cls(pid, psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, or ``None`` where it is gone or its number belongs to another."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < _SAME_START_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, why, and what to do next."""

    what: str
    why: str = ""
    fix: str = ""

    @classmethod
    def of(cls, error: StokerError) -> Problem:
        """The problem that an error tells of."""
        return cls(error.what, error.why, error.fix)

    def error(self) -> StokerError:
        """The problem as something to raise."""
        return StokerError(self.what, self.why, self.fix)


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """When a phase of the start began, in seconds since the epoch."""

    name: str
    started_at: float
    #: How far it is, where that is known: "3 layers, 1.2 of 5.4 GB".
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A plan that runs, with its state."""

    plan: Plan
    bind: str
    port: int
    #: What the person asked for. The plan that follows from it changes with the memory that is
    #: free, also with what this deployment itself takes; the requirements don't.
    requirements: tuple[str, ...] = ()
    status: Status = "starting"
    supervisor: ProcessId | None = None
    engine: ProcessId | None = None
    phases: tuple[PhaseRecord, ...] = ()
    started_at: float = 0.0
    ready_at: float | None = None
    restarts: int = 0
    problem: Problem | None = field(default=None)
    #: How the engine is run, where there is a choice.
    options: Options = field(default_factory=Options)
    #: The engine's container, which outlives the supervisor.
    container: str | None = None
    #: Put it in the place of a container with another plan.
    replace: bool = False
    #: Arguments that the person set: Stoker does not change them by itself.
    fixed: tuple[str, ...] = ()
    #: How ``stoker up`` was called, but for the model: ``--name=value`` each.
    flags: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What starts it again, for a person to change. A model left to Stoker is named too."""
        asked = self.requirements[0] if self.requirements and self.options.adopted is None else ""
        return shlex.join(("stoker", "up", asked or self.plan.model.id, *self.flags))

    @property
    def endpoint(self) -> str:
        """The base URL for programs on this machine."""
        return network_addresses.endpoint(self.bind, self.port)

    @property
    def running(self) -> bool:
        """Whether its supervisor lives. A number that now belongs to another program is not it."""
        return self.supervisor is not None and self.supervisor.process() is not None


def read() -> Deployment | None:
    """The deployment last written, running or not; ``None`` where there is none."""
    try:
        written = paths.deployment_file().read_bytes()
        return msgspec.json.decode(written, type=Deployment, dec_hook=_decode)
    except FileNotFoundError:
        return None
    except (msgspec.ValidationError, msgspec.DecodeError):
        # Written by another version of Stoker. What it described can't be managed from here.
        return None


def write(deployment: Deployment) -> None:
    """Write it so that a reader sees the old or the new one, never a part."""
    model = replace(deployment.plan.model, chat_template=None)
    if model.format == "gguf":
        # The header of such a file has the whole vocabulary in it, and can be read again.
        model = replace(model, architecture=None)
    slim = replace(deployment, plan=replace(deployment.plan, model=model))
    write_private(paths.deployment_file(), msgspec.json.encode(slim, enc_hook=_encode))


def remove() -> None:
    """Forget the deployment."""
    with contextlib.suppress(FileNotFoundError):
        paths.deployment_file().unlink()


def lock(name: str) -> FileLock:
    """A lock between processes, which the operating system frees however its holder ends."""
    return FileLock(state_folder() / f"{name}.lock")


def held(name: str) -> bool:
    """Whether some process holds the lock ``name`` now."""
    try:
        with lock(name).acquire(timeout=0):
            return False
    except Timeout:
        return True


def unrecorded() -> ProcessId | None:
    """The supervisor that runs although nothing readable is written of it.

    That is so where the file was damaged, removed, or written by another version of Stoker. Raises
    ``StokerError`` where one runs and the system does not tell which process it is.
    """
    if read() is not None or not (paths.state_dir() / "supervisor.lock").exists():
        return None
    if not held("supervisor"):
        return None
    found = _holder("supervisor")
    if found is None:
        raise StokerError(
            "A deployment runs that Stoker can't read the state of.",
            f"{paths.deployment_file()} is damaged or of another version, and the system does not "
            "tell which process it is about.",
            "End the process that runs stoker.server.server, then start again: stoker up.",
        )
    return found


def _holder(name: str) -> ProcessId | None:
    """The supervisor that has the lock's file open. Other programs may have, and are not it."""
    wanted = (paths.state_dir() / f"{name}.lock").resolve()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or not _serves(process.cmdline()):
                continue
            if any(Path(file.path).resolve() == wanted for file in process.open_files()):
                return ProcessId.of(process.pid)
    return None


def _serves(arguments: Sequence[str]) -> bool:
    """Whether a process was started as a supervisor: in the background, or by a person to stay."""
    return "stoker.server.server" in arguments or "--foreground" in arguments


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
            f"The system says: {error.strerror}.",
            "Make the folder writable, or set STOKER_HOME to one that is.",
        ) from error


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step; only its owner may read it."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _encode(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"can't write a {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is object:
        return value  # what a config.json says, as it is
    if issubclass(kind, Path):
        return Path(value)
    raise NotImplementedError(f"can't read a {kind.__name__}")
