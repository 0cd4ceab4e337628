"""``stoker deploy``: from a plan to a folder of files, and what was changed in such a folder."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

import stoker
from stoker import engines
from stoker.application.choice import choose
from stoker.application.launch_request import HostFacts, LaunchRequest
from stoker.deploy import Exporter, Site, SiteFile, SiteRequest, exporter_for
from stoker.errors import StokerError, UsageError
from stoker.planning import Plan

_Noun = TypeVar("_Noun")
#: What a folder was written from. It holds no secret.
RECORD = "stoker-deploy.json"
_SCHEMA_VERSION = 1
#: What is kept of a file that was changed by hand, when it is written again.
KEPT_SUFFIX = ".edited"


@dataclass(frozen=True, slots=True)
class SiteRecord:
    """What a folder was written from, and the SHA-256 of each of its files as written."""

    request: SiteRequest
    plan: Plan
    earlier_models: tuple[str, ...] = ()
    machine_gpus: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    stoker_version: str = ""
    schema_version: int = _SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is no longer as Stoker wrote it, or that it did not write."""

    path: str
    #: ``None`` where it was removed.
    now: str | None
    #: ``None`` where it was added.
    written: str | None


def plan_here(request: SiteRequest, wanted: LaunchRequest, machine: HostFacts) -> Plan:
    """The plan of one replica on this machine, of which each replica has an equal part.

    Raises ``StokerError`` where nothing fits, or nothing that fits can be deployed.
    """
    share = _share_of(machine, request)
    names = [wanted.engine] if wanted.engine else _deployable()
    users = math.ceil(request.users / request.replicas)
    problems: list[StokerError] = []
    for name in names:
        try:
            return choose(replace(wanted, engine=name, users=users), share).plan
        except StokerError as error:
            problems.append(error)
    raise problems[0]


def plan_in(path: Path) -> Plan:
    """The plan in a file of ``stoker plan --json``, or in the record of an earlier deployment.

    Of several plans the first counts that can be deployed. Raises ``UsageError`` for another file,
    ``StokerError`` where no plan in it can be deployed.
    """
    content = _json(path)
    try:
        if "plans" in content:
            plans = [_converted(value, Plan) for value in content["plans"]]
        else:
            plans = [_converted(content["plan"], Plan)]
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise UsageError(
            f"{path} holds no plan.",
            _error_in(content) or f"It is not what this version of Stoker writes ({error}).",
            f"Write one: stoker plan --json > {path}",
        ) from error
    able = [plan for plan in plans if plan.engine in _deployable()]
    if able:
        return able[0]
    found = ", ".join(sorted({plan.engine for plan in plans})) or "none"
    raise StokerError(
        f"No plan in {path} can be deployed.",
        f"Stoker writes deployment files for {', '.join(_deployable())}; its plans are for: "
        f"{found}.",
        f"Make one: stoker plan --engine {_deployable()[0]} --json",
    )


def site_for(record: SiteRecord) -> Site:
    """What is deployed. Raises ``UsageError`` where the request contradicts itself."""
    request, plan = record.request, record.plan
    make_replica = engines.get(plan.engine).replica
    if make_replica is None:
        raise StokerError(
            f"{plan.engine} can't be deployed.",
            f"Stoker writes deployment files for {', '.join(_deployable())} only.",
            f"Choose another: --engine {_deployable()[0]}",
        )
    # Also asked for by its own name: then it is not an earlier one.
    names = tuple(n for n in record.earlier_models if n != plan.model.served_name)
    return Site(
        plan=plan,
        engine=make_replica(plan, image=request.images.engine, more_names=names),
        stoker_version=record.stoker_version,
        request=request,
        earlier_models=names,
        machine_gpus=record.machine_gpus,
    )


def new_record(
    request: SiteRequest, plan: Plan, machine: HostFacts | None, before: SiteRecord | None
) -> SiteRecord:
    """What to write, where ``before`` was written to the same folder."""
    earlier = (before.plan.model.served_name, *before.earlier_models) if before else ()
    names = tuple(dict.fromkeys(n for n in earlier if n != plan.model.served_name))
    gpus = (
        len(machine.host.gpus) if machine is not None and exporter_of(request).one_machine else None
    )
    return SiteRecord(request, plan, names, gpus, stoker_version=stoker.__version__)


def exporter_of(request: SiteRequest) -> Exporter:
    """The exporter of the format. Raises ``UsageError`` for an unknown one."""
    return exporter_for(request.format)


def rendered(record: SiteRecord) -> tuple[SiteFile, ...]:
    """The files of a site; its record is not among them."""
    return exporter_of(record.request).render(site_for(record))


# --- the folder ----------------------------------------------------------------------------------


def read_record(folder: Path) -> SiteRecord | None:
    """What the folder was written from; ``None`` where Stoker did not write it.

    Raises ``UsageError`` where that can't be read.
    """
    path = folder / RECORD
    if not path.exists():
        return None
    try:
        record = _converted(_json(path), SiteRecord)
        if record.schema_version != _SCHEMA_VERSION:
            raise ValueError(f"its schema is {record.schema_version}")
        if not all(_is_inside(path) for path in record.files):
            raise ValueError("it names a file outside the folder")
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(
            f"{path} can't be read.",
            f"It was changed, or another version of Stoker wrote it: {error}.",
            "Write the files to a new folder.",
        ) from error
    return record


def check_folder(folder: Path, *, replacing: bool) -> SiteRecord | None:
    """What was written there before. Raises ``UsageError`` where nothing may be written there."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file.", fix="Name a folder with -o.")
    before = read_record(folder)
    if before is None and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            f"The folder {folder} is not empty.",
            "Stoker did not write what is in it, and replaces nothing of it.",
            "Name an empty or a new folder.",
        )
    if before is not None and not replacing:
        raise UsageError(
            f"The folder {folder} holds a deployment.",
            "stoker deploy wrote it before.",
            "Add --replace to write it again; files that were changed by hand are kept as "
            f"NAME{KEPT_SUFFIX}. Or name another folder.",
        )
    return before


def check_new_folder(folder: Path) -> None:
    """Raise ``UsageError`` where the folder holds anything, also an earlier deployment."""
    if check_folder(folder, replacing=True) is not None:
        raise UsageError(
            f"The folder {folder} holds a deployment.",
            "stoker deploy wrote it before, perhaps with choices of yours.",
            "Name a new folder.",
        )


def write(record: SiteRecord, files: Sequence[SiteFile], folder: Path) -> tuple[str, ...]:
    """Write the files and the record; the paths of the edited files that were kept.

    Raises ``StokerError`` where they can't be written.
    """
    before = read_record(folder)
    kept = []
    try:
        for change in edited(before, folder) if before else ():
            if change.now is not None:
                _place(folder, change.path + KEPT_SUFFIX, change.now)
                kept.append(change.path + KEPT_SUFFIX)
        for path in sorted(set(before.files if before else ()) - {file.path for file in files}):
            (folder / path).unlink(missing_ok=True)
        for file in files:
            _place(folder, file.path, file.text, executable=file.executable)
        hashes = {file.path: _sha256(file.text) for file in files}
        _place(folder, RECORD, _document(replace(record, files=hashes)))
    except OSError as error:
        raise StokerError(
            f"The files can't be written to {folder}.",
            f"The system reports: {error.strerror or error}.",
            "Name a folder that this account may write to, on a disk with space.",
        ) from error
    return tuple(kept)


def edited(record: SiteRecord, folder: Path) -> list[FileChange]:
    """The files that are not as they were written. Raises ``StokerError`` where one can't be read.

    What was written is rendered again: by another version of Stoker it may differ in more.
    """
    written = {file.path: file.text for file in rendered(record)}
    changes = []
    for path, sha256 in record.files.items():
        now = _text(folder / path)
        if now is None or _sha256(now) != sha256:
            changes.append(FileChange(path, now, written.get(path, "")))
    return changes


def added(record: SiteRecord, folder: Path) -> list[FileChange]:
    """Files that a person put beside those that were written: some formats read what lies there.

    Secrets, wheels, what an earlier ``write`` kept, and hidden files belong there.
    """
    known = {*record.files, RECORD}
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    paths = [path.relative_to(folder) for path in found]
    return [
        FileChange(path.as_posix(), "", None)
        for path in paths
        if path.as_posix() not in known and not _belongs(path)
    ]


def _belongs(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    of_person = path.parts[0] == "secrets" or path.suffix == ".whl"
    return hidden or of_person or path.name.endswith(KEPT_SUFFIX)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/") and "\\" not in path


def _text(path: Path) -> str | None:
    try:
        # Not as text: there a changed line end is none.
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StokerError(f"{path} can't be read.", f"{error.strerror}.") from error


def _place(folder: Path, path: str, text: str, *, executable: bool = False) -> None:
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8", newline="\n")
    place.chmod(0o755 if executable else 0o644)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _document(record: SiteRecord) -> str:
    model = replace(record.plan.model, architecture=None, chat_template=None)
    value = asdict(replace(record, plan=replace(record.plan, model=model)))
    return json.dumps(value, indent=2, default=str) + "\n"


# --- reading -------------------------------------------------------------------------------------


def _deployable() -> list[str]:
    return [e.name for e in engines.started() if e.launcher is not None and e.launcher.replica]


def _share_of(machine: HostFacts, request: SiteRequest) -> HostFacts:
    """The part of a machine that one replica has; all of it where each has its own machine."""
    if not exporter_of(request).one_machine:
        return machine
    gpus, memory = machine.host.gpus, machine.host.memory
    if not gpus:
        available = memory.available_bytes // request.replicas
        part = replace(memory, available_bytes=available)
        return replace(machine, host=replace(machine.host, memory=part))
    each = len(gpus) // request.replicas
    if each == 0:
        raise UsageError(
            f"{request.replicas} replicas do not fit on this machine.",
            f"Each needs a GPU of its own, and it has {len(gpus)}.",
            f"Use --replicas {len(gpus)} or less, or deploy to several machines.",
        )
    return replace(machine, host=replace(machine.host, gpus=gpus[:each]))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"{path} can't be read.", f"{error.strerror}.", "Name a file of stoker plan --json."
        ) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is not JSON.", f"{error}.", f"Write one: stoker plan --json > {path}"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no plan.", fix=f"Write one: stoker plan --json > {path}")
    return content


def _error_in(content: dict[str, Any]) -> str:
    """What ``stoker plan --json`` wrote there where it found none; else nothing."""
    error = content.get("error")
    what = error.get("what") if isinstance(error, dict) else None
    return f'stoker plan ended with an error: "{what}"' if what else ""


def _converted(value: Any, kind: type[_Noun]) -> _Noun:
    return msgspec.convert(value, kind, dec_hook=_decode)


def _decode(kind: type, value: Any) -> Any:
    if kind is object:
        return value
    if issubclass(kind, Path):
        return Path(value)
    raise NotImplementedError(f"can't read a {kind.__name__}")
