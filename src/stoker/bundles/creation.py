"""Make a bundle: collect what it holds, describe and sign that, then write it once.

The work folder beside the output keeps what was downloaded and hashed, and the archive grows in a
file of its own, so a run that was interrupted continues.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import msgspec

import stoker
from stoker import vscode
from stoker.bundles import (
    archive_writing,
    blob_store,
    bootstrap,
    bundle_archive,
    bundle_manifest,
    docs_site,
    sbom,
    target_machines,
    weights,
    wheels,
)
from stoker.bundles.bundle_archive import Archive, Progress, Report
from stoker.bundles.bundle_manifest import (
    Blob,
    Item,
    ItemFile,
    Manifest,
    TargetMachine,
)
from stoker.bundles.images import ImageStore
from stoker.bundles.minisign_keys import SecretKey
from stoker.errors import StokerError, UsageError
from stoker.models import DownloadProgress

#: Smaller files are hashed before a person would look.
_SHOWN_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What a bundle is to hold."""

    target: TargetMachine
    #: Names or paths that `stoker up` takes, ``oci://REGISTRY/NAME:TAG`` or ``oci:FOLDER``.
    models: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    #: A wheel of Stoker or its project's folder.
    stoker: Path | None = None
    #: The project whose guides come along.
    guides: Path | None = None
    #: An older bundle: what it holds is left out.
    base: Path | None = None


@dataclass(frozen=True, slots=True)
class _Draft:
    """The items so far, where each blob's content lies, and the hashes that are known."""

    items: list[Item]
    sources: dict[str, Path]
    hashes: _Hashes

    def add(
        self, item: Item, files: Mapping[str, Path], report: Report
    ) -> tuple[tuple[str, str], ...]:
        """Add an item with its files. Returns the digest of each by its path."""
        listed = []
        for path, source in files.items():
            digest = self.hashes.of(source, report)
            self.sources.setdefault(digest, source)
            listed.append(ItemFile(path, digest))
        self.items.append(msgspec.structs.replace(item, files=tuple(listed)))
        return tuple((file.path, file.sha256) for file in listed)


class _Hashes:
    """SHA-256 of files, kept over runs for files whose size and time did not change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, list[object]] = json.loads(file.read_text())
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path, report: Report) -> str:
        """The digest; ``report`` gets the bytes of this file that were hashed, and all."""
        stat = path.stat()
        seen = self._known.get(str(path), [])
        if seen[:2] == [stat.st_size, stat.st_mtime_ns]:
            return str(seen[2])
        digest, done = hashlib.sha256(), 0
        for chunk in blob_store.chunks_of(path):
            digest.update(chunk)
            done += len(chunk)
            report(done, stat.st_size)
        self._known[str(path)] = [stat.st_size, stat.st_mtime_ns, digest.hexdigest()]
        self._file.write_text(json.dumps(self._known))
        return digest.hexdigest()


def create(
    request: BundleRequest, output: Path, key: SecretKey | None, progress: Progress
) -> Archive:
    """Make the bundle ``output``, signed by ``key`` unless that is ``None``, and read it back.

    Raises ``StokerError``. What was collected until then stays in ``OUTPUT.work`` for the next run.
    """
    if output.exists():
        raise UsageError(f"{output} exists already.", "", "Name another file, or remove it.")
    work = output.with_name(f"{output.name}.work")
    # What is missing ends it before minutes of downloads.
    known = _held_by(request.base)
    if request.images:
        ImageStore()
    with blob_store.only_run(work, f"makes {output}"):
        archive = _create(request, known, output, work, key, progress)
    shutil.rmtree(work, ignore_errors=True)
    return archive


def _create(
    request: BundleRequest,
    known: set[str],
    output: Path,
    work: Path,
    key: SecretKey | None,
    progress: Progress,
) -> Archive:
    draft = _collect(request, work, progress)
    manifest = _manifest(request, known, draft, work)
    unfinished = output.with_name(f"{output.name}.partial")
    archive_writing.write(
        unfinished, manifest, _bootstrap(), draft.sources, key, partial(progress, "write")
    )
    public = key.public if key is not None else None
    try:
        archive = bundle_archive.open_archive(unfinished, public)
        archive.verify(partial(progress, "read back"))
    except StokerError:
        unfinished.unlink()
        raise
    unfinished.replace(output)
    return replace(archive, path=output)


def _collect(request: BundleRequest, work: Path, progress: Progress) -> _Draft:
    draft = _Draft([], {}, _Hashes(work / "hashes.json"))
    parts = _add_wheels(draft, request, work, progress)
    parts += [_add_model(draft, name, work, progress) for name in request.models]
    parts += _add_images(draft, request, work, progress)
    extension = Item("extension", "Stoker for VS Code", ())
    files = draft.add(extension, {"stoker.vsix": vscode.VSIX}, partial(_hashing, progress))
    version = vscode.shipped().version
    parts.append(sbom.Component("application", extension.name, version, files=files))
    if request.guides is not None:
        progress("docs", 0, None)
        pages = docs_site.build(request.guides, work / "docs")
        draft.add(Item("docs", "guides", ()), pages, partial(_hashing, progress))
    bill = work / "sbom.cdx.json"
    bill.write_text(sbom.document(parts, _created(work)), encoding="utf-8")
    draft.add(Item("sbom", bill.name, ()), {bill.name: bill}, partial(_hashing, progress))
    return draft


def _add_wheels(
    draft: _Draft, request: BundleRequest, work: Path, progress: Progress
) -> list[sbom.Component]:
    def grown(done: int) -> None:
        progress("wheels", done, None)

    found = wheels.collect(work / "wheels", request.stoker, request.extras, request.target, grown)
    parts = []
    for wheel in found:
        item = Item("wheel", wheel.name, ())
        ((_, digest),) = draft.add(item, {wheel.name: wheel}, partial(_hashing, progress))
        parts.append(sbom.of_wheel(wheel, digest))
    return parts


def _add_model(draft: _Draft, name: str, work: Path, progress: Progress) -> sbom.Component:
    def report(download: DownloadProgress) -> None:
        progress(f"download {name}", download.bytes_done, download.bytes_total)

    found = weights.collect(name, work / "model-layers", report)
    item = Item("model", found.name, (), folder=found.folder, model_name=found.model_name)
    files = draft.add(item, found.files, partial(_hashing, progress))
    return sbom.Component("machine-learning-model", found.name, license=found.license, files=files)


def _add_images(
    draft: _Draft, request: BundleRequest, work: Path, progress: Progress
) -> list[sbom.Component]:
    parts = []
    architecture = target_machines.image_architecture(request.target)
    for reference in request.images:

        def grown(done: int, reference: str = reference) -> None:
            progress(f"save {reference}", done, None)

        saved = ImageStore().save(reference, architecture, work / "images", grown)
        item = Item(
            "image",
            reference,
            (),
            image_id=saved.image_id,
            registry_digest=saved.registry_digest,
        )
        draft.add(item, saved.files, partial(_hashing, progress))
        version = saved.registry_digest or saved.image_id
        id_ = saved.image_id.removeprefix("sha256:")
        parts.append(sbom.Component("container", reference, version, files=(("image id", id_),)))
    return parts


def _hashing(progress: Progress, done: int, total: int) -> None:
    progress("hash", *((done, total) if total > _SHOWN_BYTES else (0, None)))


def _created(work: Path) -> str:
    """When the first run of this work began: the same in a run that continues it."""
    file = work / "created"
    if not file.is_file() or not file.read_text():
        now = datetime.now(timezone.utc).replace(microsecond=0)
        file.write_text(now.isoformat())
    return file.read_text()


def _bootstrap() -> bytes:
    return Path(bootstrap.__file__).read_bytes()


def _manifest(request: BundleRequest, known: set[str], draft: _Draft, work: Path) -> Manifest:
    blobs = [Blob(digest, path.stat().st_size) for digest, path in draft.sources.items()]
    program = _bootstrap()
    return Manifest(
        format=bundle_manifest.FORMAT,
        stoker_version=stoker.__version__,
        created=_created(work),
        target=request.target,
        blobs=tuple(blob for blob in blobs if blob.sha256 not in known),
        base_blobs=tuple(blob for blob in blobs if blob.sha256 in known),
        items=tuple(draft.items),
        extras=request.extras,
        bootstrap=Blob(hashlib.sha256(program).hexdigest(), len(program)),
    )


def _held_by(base: Path | None) -> set[str]:
    """The blobs that a target has which loaded ``base``."""
    if base is None:
        return set()
    # Its signature does not matter: loading this bundle hashes what the older one brought.
    manifest = bundle_archive.open_archive(base, None).manifest
    return {blob.sha256 for blob in (*manifest.blobs, *manifest.base_blobs)}
