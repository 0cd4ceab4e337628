"""The versions below ``INTO/versions``: which one runs, and which are kept.

``INTO/current`` leads to the one that runs. The one before it stays, to go back to; what is older
goes, with the blobs that only it had.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import psutil

from stoker.bundles import bundle_manifest
from stoker.bundles.blob_store import BlobStore
from stoker.errors import StokerError, UsageError

#: Written last: a version without it is one that a run has not finished.
COMPLETE = "manifest.json"
#: The beginning of a manifest's SHA-256.
_VERSION = re.compile("[0-9a-f]{16}")


def refuse_folder(into: Path) -> None:
    """Raise ``UsageError`` where ``INTO/current`` is something else than our link."""
    current = into / "current"
    if current.is_symlink() or not current.is_dir():
        return
    raise UsageError(
        f"{current} is a folder.",
        "Stoker makes a link of this name, and replaces no folder.",
        "Rename it, or name another folder with --into.",
    )


def runs(version: Path) -> bool:
    """Whether the version is whole, and the Python that it was installed with is still there."""
    return (version / COMPLETE).is_file() and (version / "venv" / "bin" / "python").is_file()


def switch(into: Path, version: Path, store: BlobStore) -> None:
    """Make ``INTO/current`` lead to ``version``, in one step, and remove what is older.

    Kept are this version, the one before it, and those that a process runs from.
    """
    before = _before(into, version)
    unfinished = into / ".current"
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(version.relative_to(into.absolute()), target_is_directory=True)
    unfinished.replace(into / "current")
    _remove_others(into, {version.name, before} | _in_use(version.parent), store)


def _before(into: Path, version: Path) -> str:
    """The version to go back to: what ran until now, else the newest other one."""
    ran = (into / "current").resolve()
    if ran.name != version.name and ran.parent == version.parent.resolve():
        return ran.name
    others = [each for each in version.parent.iterdir() if each != version and runs(each)]
    newest = max(others, key=lambda each: (each / COMPLETE).stat().st_mtime, default=None)
    return newest.name if newest else ""


def _in_use(versions: Path) -> set[str]:
    """The versions that a process runs from: it still imports from there."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        for word in process.info["cmdline"] or ():
            if Path(word).is_relative_to(versions):
                found.add(Path(word).relative_to(versions).parts[0])
    return found


def _remove_others(into: Path, kept: set[str], store: BlobStore) -> None:
    """Remove what ``load`` installed before; whatever else a person put there stays."""
    folders = list((into.absolute() / "versions").iterdir())
    versions = [each for each in folders if _VERSION.fullmatch(each.name)]
    old = [each for each in versions if each.name not in kept]
    wanted = {digest for each in versions if each.name in kept for digest in _blobs(each)}
    gone = {digest for each in old for digest in _blobs(each)}
    for each in old:
        shutil.rmtree(each, ignore_errors=True)
    store.remove(gone - wanted)


def _blobs(version: Path) -> set[str]:
    """The digests that a version is made of; none where its manifest can't be read."""
    try:
        manifest = bundle_manifest.decoded((version / COMPLETE).read_bytes())
    except (OSError, StokerError):
        return set()
    return {blob.sha256 for blob in (*manifest.blobs, *manifest.base_blobs)}
