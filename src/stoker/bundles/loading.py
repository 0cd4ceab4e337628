"""Install a bundle: nothing is written before all of it was verified, and nothing half.

Blobs go to a store first, each under its final name only once it is whole: a run that was broken
off, or met a full disk, continues with the next blob. Stoker itself goes to a folder of its own for
each bundle, ``INTO/versions/DIGEST``; the link ``INTO/current`` changes last and in one step.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stoker import paths, vscode
from stoker.bundles import (
    blob_store,
    bundle_archive,
    bundle_manifest,
    installed_versions,
    target_machines,
)
from stoker.bundles.blob_store import BlobStore
from stoker.bundles.bundle_archive import Archive, Progress
from stoker.bundles.bundle_manifest import Blob, Item, Manifest
from stoker.bundles.images import ImageStore
from stoker.bundles.minisign_keys import PublicKey
from stoker.errors import StokerError

#: Blobs, each with its place in the archive.
_Places = list[tuple[Blob, int]]

#: What installed wheels take beside the wheels themselves: measured 3.1 times for Stoker with
#: llama.cpp.
_UNPACKED = 4
#: Less than this free, and it was the disk that stopped an installation.
_FULL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is on this machine now."""

    name: str
    #: The file or folder that `stoker up` takes.
    path: Path


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """What was installed, and where."""

    manifest: Manifest
    digest: str
    #: The folder of this version: its environment, docs and bill of materials.
    folder: Path
    #: The command of the version that was installed.
    stoker: Path
    models: tuple[LoadedModel, ...]
    images: tuple[str, ...]
    editors: tuple[str, ...]
    #: What could not be done and stops nothing, a sentence each.
    notes: tuple[str, ...] = ()


def load(
    archive: Archive,
    into: Path,
    python: Path,
    progress: Progress,
    *,
    images: bool = True,
    editors: bool = True,
) -> LoadedBundle:
    """Verify the bundle, then install it into the folder ``into`` with ``python``.

    Raises ``StokerError``; then ``into`` runs what it ran before, or nothing.
    """
    manifest = archive.manifest
    target_machines.refuse_other_machine(manifest.target, python)
    installed_versions.refuse_folder(into)
    store = BlobStore()
    has_images = bool(images and manifest.of_kind("image"))
    runtime = ImageStore() if has_images else None
    archive.verify(partial(progress, "verify"))
    with store.only_run(), blob_store.only_run(into, f"installs into {into}"):
        here = store.verified((*manifest.blobs, *manifest.base_blobs), partial(progress, "check"))
        _refuse_missing_base(manifest, here)
        missing = [(blob, at) for blob, at in archive.places() if blob.sha256 not in here]
        _check_space(manifest, missing, store, into, runtime)
        _take(archive, missing, store, progress)
        folder = _install(archive, store, into, python, progress)
        loaded = tuple(_load_images(manifest, store, runtime, progress) if runtime else ())
        models = tuple(_place_model(item, store) for item in manifest.of_kind("model"))
        wanted = bool(editors and manifest.of_kind("extension"))
        found, notes = _install_extension(folder) if wanted else ((), ())
        installed_versions.switch(into, folder, store)
    command = into / "current" / "venv" / "bin" / "stoker"
    return LoadedBundle(manifest, archive.digest, folder, command, models, loaded, found, notes)


def _refuse_missing_base(manifest: Manifest, here: set[str]) -> None:
    missing = [blob for blob in manifest.base_blobs if blob.sha256 not in here]
    if missing:
        raise StokerError(
            "This bundle is an update, and the older bundle was not loaded here.",
            f"{len(missing)} of the {len(manifest.base_blobs)} blobs that it builds on are missing "
            "or damaged.",
            "Load the older bundle first, as the same user; or make a whole one, without --base.",
        )


def _check_space(
    manifest: Manifest,
    missing: _Places,
    store: BlobStore,
    into: Path,
    runtime: ImageStore | None,
) -> None:
    sizes = {blob.sha256: blob.size_bytes for blob in (*manifest.blobs, *manifest.base_blobs)}
    wheels = sum(sizes[file.sha256] for item in manifest.of_kind("wheel") for file in item.files)
    kept = sum(blob.size_bytes for blob, _ in missing)
    needs = [
        (store.folder, kept, "what the bundle holds"),
        (into, _UNPACKED * wheels, "Stoker itself"),
    ]
    if runtime is not None and runtime.folder is not None:
        new = [i for i in manifest.of_kind("image") if not runtime.has(i.image_id)]
        unpacked = sum(sizes[file.sha256] for item in new for file in item.files)
        needs.append((runtime.folder, unpacked, "the container images"))
    blob_store.check_space(*needs)


def _take(archive: Archive, missing: _Places, store: BlobStore, progress: Progress) -> None:
    done, total = 0, sum(blob.size_bytes for blob, _ in missing)
    for blob, at in missing:
        for written in store.add(blob, archive.content(blob, at)):
            done += written
            progress("copy", done, total)


def _place_model(item: Item, store: BlobStore) -> LoadedModel:
    """Put a model where Stoker keeps downloaded ones. A new folder appears whole."""
    folder = paths.cache_dir() / "models" / item.folder
    is_new = bool(item.folder) and not folder.exists()
    staging = folder.with_name(f"{folder.name}.bundle") if is_new else folder
    if is_new:
        shutil.rmtree(staging, ignore_errors=True)
    _place(item, store, staging)
    if is_new:
        staging.replace(folder)
    first = sorted(file.path for file in item.files)[0]
    is_file = first.endswith(".gguf") and "/" not in first
    return LoadedModel(item.model_name or item.name, folder / first if is_file else folder)


def _load_images(
    manifest: Manifest, store: BlobStore, runtime: ImageStore, progress: Progress
) -> Iterator[str]:
    for item in manifest.of_kind("image"):
        progress(f"load {item.name}", 0, None)
        files = [(file.path, store.path(file.sha256)) for file in item.files]
        runtime.load(item.name, item.image_id, files)
        yield item.name


def _install(
    archive: Archive, store: BlobStore, into: Path, python: Path, progress: Progress
) -> Path:
    """Stoker in an environment of its own. Its folder counts once the manifest is in it."""
    folder = into.absolute() / "versions" / archive.digest[:16]
    if installed_versions.runs(folder):
        return folder
    with _shared_with_programs(into / ".programs.lock"):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        for item in archive.manifest.of_kind("wheel"):
            _place(item, store, folder / "wheels")
        for kind in ("docs", "extension", "sbom"):
            for item in archive.manifest.of_kind(kind):
                _place(item, store, folder / "docs" if kind == "docs" else folder)
        progress("install", 0, None)
        with _shared_with_programs(into / ".programs.lock") as lock:
            _pip_install(folder, python, archive.manifest.extras, lock)
        shutil.rmtree(folder / "wheels")
        (folder / installed_versions.COMPLETE).write_bytes(
            bundle_manifest.encoded(archive.manifest)
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def own_environment() -> dict[str, str]:
    """The variables without those that lead one Python to what is of another."""
    return {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}


def _place(item: Item, store: BlobStore, folder: Path) -> None:
    store.place({folder / file.path: file.sha256 for file in item.files})


@contextmanager
def _shared_with_programs(file: Path) -> Iterator[int]:
    """A lock for programs to inherit, by its descriptor: they go on where only Stoker is killed.

    Raises ``StokerError`` where one of an earlier run still works.
    """
    import fcntl  # noqa: PLC0415  (Windows has none, and other commands run there)

    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StokerError(
                "An earlier installation is still running.",
                f"Stoker was stopped, but its pip still works in {file.parent}.",
                "Wait a minute, and run the same command again.",
            ) from None
        yield opened.fileno()


def _pip_install(folder: Path, python: Path, extras: tuple[str, ...], lock: int) -> None:
    chosen = f"[{','.join(extras)}]" if extras else ""
    own = folder / "venv" / "bin" / "python"
    # No settings of pip lead elsewhere: what is installed lies in the bundle.
    settings = {n: v for n, v in own_environment().items() if not n.startswith("PIP_")}
    settings["PIP_CONFIG_FILE"] = os.devnull
    pip = [str(own), "-m", "pip", "--isolated", "install", "--no-index", "--no-cache-dir"]
    pip += ["--find-links", str(folder / "wheels"), "--disable-pip-version-check"]
    for command in ([str(python), "-m", "venv", str(own.parents[1])], [*pip, f"stoker{chosen}"]):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=settings, pass_fds=(lock,)
        )
        if done.returncode != 0:
            raise _not_installed(folder, done.stdout + done.stderr)


def _not_installed(folder: Path, log: str) -> StokerError:
    what = "Stoker can't be installed from the bundle."
    # venv does not pass on why its pip failed: the disk itself is asked.
    if "No space left on device" in log or shutil.disk_usage(folder).free < _FULL_BYTES:
        return blob_store.disk_error(folder.parents[1], OSError(errno.ENOSPC, ""))
    if "ensurepip" in log:
        return StokerError(
            what,
            "This Python can't make environments.",
            "Install its package, such as python3-venv on Debian, or name another with --python.",
        )
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-2:]
    return StokerError(what, " ".join(errors[:2]), "Make the bundle again for this machine.")


def _install_extension(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Put the extension into every VS Code that is here; the names of those, and what failed."""
    done, notes = [], []
    for editor in vscode.find_editors():
        try:
            vscode.install(editor, folder / "stoker.vsix")
            done.append(editor.title)
        except StokerError as error:
            notes.append(f"{editor.title} has no extension: {error}")
    return tuple(done), tuple(notes)


def verified(path: Path, key: PublicKey | None, progress: Progress) -> Archive:
    """The bundle, all of it read and verified. Raises ``StokerError``; writes nothing."""
    archive = bundle_archive.open_archive(path, key)
    archive.verify(partial(progress, "verify"))
    return archive
