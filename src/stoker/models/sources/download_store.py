"""The folder where downloaded models are kept, and the guards around writing to it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stoker.errors import StokerError
from stoker.models import gguf_names
from stoker.models.model import HubFile, Model
from stoker.paths import cache_dir

#: Left free on the disk after a download: logs and the system need some too.
SPARE_BYTES = 256 << 20
#: While another program downloads the same model: how often its progress is passed on.
LOCK_POLL_S = 0.5
CHUNK_BYTES = 1 << 20
_PARTIAL = ".partial"
#: How publishers number the parts of a model, in both formats: ``-00001-of-00003``.
_NUMBERED = re.compile(r"-\d{5}-of-(?P<count>\d{5})\.")


def folder() -> Path:
    """The folder of downloaded models; created if it does not exist."""
    return make(cache_dir() / "models")


def make(path: Path) -> Path:
    """The folder ``path``, created if missing. Raises ``StokerError`` where it can't be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def hub_is_forbidden() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids asking the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def hub_path(location: HubFile) -> Path:
    """Where a revision of a hub repository is kept, or its file, under ``folder()``."""
    path = Path("hub", location.repo.replace("/", "--"), location.revision or "main")
    return path / location.filename if location.filename else path


def finished(name: Path, size_bytes: int) -> Path | None:
    """The downloaded file, or ``None``. A file has its final name only once it was verified."""
    path = cache_dir() / "models" / name
    try:
        return path if path.stat().st_size == size_bytes else None
    except OSError:
        return None


def repositories() -> frozenset[str]:
    """The repositories of the hub of which something was downloaded."""
    try:
        folders = list((cache_dir() / "models" / "hub").iterdir())
    except OSError:
        return frozenset()
    return frozenset(folder.name.replace("--", "/", 1) for folder in folders)


def downloaded(model: Model) -> Path | None:
    """The whole file, or folder, of ``model`` from the hub; ``None`` where it isn't all here."""
    repo = cache_dir() / "models" / hub_path(HubFile(model.id)).parent
    revisions = sorted(repo.glob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
    found = (_whole(revision, model) for revision in revisions)
    return next((path for path in found if path is not None), None)


def _whole(revision: Path, model: Model) -> Path | None:
    if model.format == "safetensors":
        files = list(revision.glob("*.safetensors"))
        # The hub lists tokenizers last: without one the download was broken off.
        others = (revision / "config.json").is_file() and any(revision.glob("tokenizer*"))
        return revision if others and _all_parts(files) else None
    found = {p.relative_to(revision).as_posix() for p in revision.rglob("*.gguf")}
    firsts = gguf_names.without_companions(filter(gguf_names.is_first_of_model, found))
    wanted = model.quantization or ""
    first = next((n for n in sorted(firsts) if gguf_names.has_quantization(n, wanted)), None)
    if first is None:
        return None
    files = [revision / name for name in gguf_names.all_parts(first) if name in found]
    return files[0] if _all_parts(files) else None


def _all_parts(files: list[Path]) -> bool:
    """Whether there are files, none is unfinished, and of those in parts there is every part."""
    numbered = [match for path in files if (match := _NUMBERED.search(path.name))]
    enough = all(len(numbered) == int(match["count"]) for match in numbered)
    return bool(files) and enough and not any(partial(path).exists() for path in files)


def partial(final: Path) -> Path:
    """Where a file grows until it is whole and verified."""
    return final.with_name(final.name + _PARTIAL)


@dataclass(frozen=True, slots=True)
class Kept:
    """The contents of the folder of downloaded models."""

    folder: Path
    bytes: int = 0
    #: Files of downloads that were broken off, and their bytes; not part of ``bytes``.
    unfinished: int = 0
    unfinished_bytes: int = 0


def kept() -> Kept:
    """Count what was downloaded. Raises ``OSError`` where the folder can't be read."""
    folder = cache_dir() / "models"
    found = [path for path in folder.rglob("*") if path.is_file()]
    unfinished = [path for path in found if path.suffix == _PARTIAL]
    unfinished_bytes = sum(path.stat().st_size for path in unfinished)
    whole = sum(path.stat().st_size for path in found) - unfinished_bytes
    return Kept(folder, whole, len(unfinished), unfinished_bytes)


def check_space(path: Path, needed_bytes: int, what: str) -> None:
    """Raise ``StokerError`` where the disk of ``path`` cannot take ``needed_bytes`` more."""
    free = shutil.disk_usage(path).free
    if free < needed_bytes + SPARE_BYTES:
        raise StokerError(
            f"There is not enough disk space for {what}.",
            f"It needs {gigabytes(needed_bytes + SPARE_BYTES)} and {path} has "
            f"{gigabytes(free)} free.",
            "Free some space, or set STOKER_HOME to a folder on a larger disk.",
        )


def locked(unfinished: Path) -> Generator[int, None, AbstractContextManager[object]]:
    """Wait for the right to write ``unfinished``, and return it; its context gives it back.

    Yields the bytes so far while another program has it. The system drops the lock of a program
    that dies, so none is ever left behind.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415  (15 ms, and only downloads need it)

    lock = FileLock(unfinished.with_name(unfinished.name + ".lock"))
    while True:
        try:
            return lock.acquire(timeout=LOCK_POLL_S)
        except Timeout:
            yield unfinished.stat().st_size if unfinished.exists() else 0
        except OSError as error:
            raise _unwritable(unfinished.parent, error) from error


def sha256_of(file: BinaryIO, size: int) -> hashlib._Hash:
    """The running SHA-256 of the first ``size`` bytes, which moves ``file`` to their end."""
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
        digest.update(chunk)
        size -= len(chunk)
    return digest


def gigabytes(size: int) -> str:
    """A size as text, in the decimal units of download pages."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _unwritable(path: Path, error: OSError) -> StokerError:
    return StokerError(
        f"Models cannot be kept in {path}.",
        f"{os.strerror(error.errno) if error.errno else error}.",
        "Make the folder writable, or set STOKER_HOME to a folder that is.",
    )
