"""Models as OCI artifacts in the format of ModelPack, read from an OCI layout on this disk.

The formats: https://github.com/modelpack/model-spec (docs/spec.md) and OCI's image layout.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from stoker.bundles.blob_store import chunks_of
from stoker.bundles.bundle_manifest import Blob, is_safe_path
from stoker.errors import StokerError, UsageError

try:  # of the extra bundles
    import zstandard

    _ZSTANDARD_ERRORS: tuple[type[Exception], ...] = (zstandard.ZstdError,)
except ImportError:
    zstandard = None  # type: ignore[assignment]
    _ZSTANDARD_ERRORS = ()

_UNPACK_ERRORS: tuple[type[Exception], ...] = (
    tarfile.TarError,
    EOFError,
    OSError,
    zlib.error,
    *_ZSTANDARD_ERRORS,
)

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
FILEPATH = "org.cncf.model.filepath"
_LAYER = re.compile(
    r"application/vnd\.cncf\.model\.(?P<what>weight|weight\.config|doc|code|dataset)"
    r"\.v1\.(?P<form>raw|tar|tar\+gzip|tar\+zstd)"
)
#: What a server reads. Documents, code and data sets are left out.
_WANTED = frozenset({"weight", "weight.config"})
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
MAX_JSON_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """A model's name, and its files by their path."""

    name: str
    files: dict[str, Path]


def read(layout: Path, work: Path) -> ModelArtifact:
    """The model in an OCI layout; layers that are archives are unpacked below ``work``.

    Raises ``StokerError`` where the layout has none, or a blob is not what its digest promises.
    """
    manifest, described = _manifest(layout)
    files: dict[str, Path] = {}
    for layer, form in _layers(layout, manifest):
        blob = _verified(layout, layer)
        if form == "raw":
            files[_path_of(layer, layout)] = blob
        else:
            files |= _unpacked(blob, form, work / blob.name, layout)
    if not files:
        raise _no_model(layout, "It has no layers of weights.")
    name = _config_name(layout, manifest) or described or layout.name
    return ModelArtifact(name, files)


def needed(manifest: bytes, where: str) -> list[Blob]:
    """What ``read`` reads of an artifact: its configuration and its weights.

    Raises ``UsageError`` where it is no model.
    """
    try:
        document = json.loads(manifest)
    except (ValueError, RecursionError) as error:
        raise _no_model(where, f"Its manifest can't be read: {error}.") from error
    if not isinstance(document, dict) or document.get("artifactType") != ARTIFACT_TYPE:
        raise _no_model(where, f"Its manifest is not of the type {ARTIFACT_TYPE}.")
    config = document.get("config")
    described = [config] if isinstance(config, dict) else []
    described += [layer for layer, _ in _layers(where, document)]
    return [Blob(_digest_of(each, where), _size_of(each, where)) for each in described]


def _digest_of(descriptor: dict[str, Any], where: object) -> str:
    digest = str(descriptor.get("digest"))
    if not _DIGEST.fullmatch(digest):
        raise _no_model(where, f"{digest!r} is not a SHA-256 digest.")
    return digest.removeprefix("sha256:")


def _size_of(descriptor: dict[str, Any], where: object) -> int:
    size = descriptor.get("size")
    if not isinstance(size, int) or size < 0:
        raise _no_model(where, f"{size!r} is not the size of a blob.")
    return size


def _layers(where: object, manifest: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The layers that a server needs, each with its form."""
    found = []
    for layer in _objects(where, manifest, "layers"):
        match = _LAYER.fullmatch(str(layer.get("mediaType")))
        if match is not None and match["what"] in _WANTED:
            found.append((layer, match["form"]))
    return found


def _manifest(layout: Path) -> tuple[dict[str, Any], str]:
    index = _json(layout, layout / "index.json")
    for entry in _objects(layout, index, "manifests"):
        found = _json(layout, _verified(layout, entry))
        if ARTIFACT_TYPE in (found.get("artifactType"), entry.get("artifactType")):
            return found, _annotation(entry, "org.opencontainers.image.ref.name")
    raise _no_model(layout, f"No manifest in it is of the type {ARTIFACT_TYPE}.")


def _config_name(layout: Path, manifest: dict[str, Any]) -> str:
    try:
        config = _json(layout, _verified(layout, manifest["config"]))
        return str(config["descriptor"]["name"])
    except (KeyError, TypeError, StokerError):
        return ""


def _objects(where: object, document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The list ``name`` of a document that anyone could have written."""
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _no_model(where, f"Its {name} are not a list of objects.")
    return found


def _annotation(descriptor: dict[str, Any], name: str) -> str:
    annotations = descriptor.get("annotations")
    return str(annotations.get(name, "")) if isinstance(annotations, dict) else ""


def _json(layout: Path, file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            read = json.loads(opened.read(MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise _no_model(layout, f"{file.name} can't be read: {error}.") from error
    if not isinstance(read, dict):
        raise _no_model(layout, f"{file.name} is not an object.")
    return read


def _verified(layout: Path, descriptor: dict[str, Any]) -> Path:
    """The blob of a descriptor, hashed."""
    digest = _digest_of(descriptor, layout)
    blob = layout / "blobs" / "sha256" / digest
    seen = hashlib.sha256()
    try:
        for chunk in chunks_of(blob):
            seen.update(chunk)
    except OSError as error:
        raise _no_model(layout, f"The blob {digest} can't be read: {error.strerror}.") from error
    if seen.hexdigest() != blob.name:
        raise _no_model(layout, f"The content of blob {digest} does not match its digest.")
    return blob


def _path_of(layer: dict[str, Any], layout: Path) -> str:
    path = _annotation(layer, FILEPATH)
    if not is_safe_path(path):
        raise _no_model(layout, f"A layer names the path {path!r}.")
    return path


def _unpacked(blob: Path, form: str, folder: Path, layout: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    try:
        with _opened(blob, form) as opened, tarfile.open(fileobj=opened, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isdir():
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or not is_safe_path(name):
                    raise _no_model(
                        layout, f"A layer holds {member.name!r}, which is not a plain file."
                    )
                files[name] = folder / name
                files[name].parent.mkdir(parents=True, exist_ok=True)
                with files[name].open("wb") as out:
                    while chunk := content.read(1 << 20):
                        out.write(chunk)
    except _UNPACK_ERRORS as error:
        raise _no_model(layout, f"A layer can't be unpacked: {error}.") from error
    return files


def _opened(blob: Path, form: str) -> BinaryIO:
    """A layer's archive, uncompressed as it is read."""
    if form == "tar+gzip":
        return cast(BinaryIO, gzip.open(blob))
    if form != "tar+zstd":
        return blob.open("rb")
    if zstandard is None:
        raise StokerError(
            "A layer of the model can't be unpacked.",
            "It is compressed with Zstandard, and the package zstandard is not installed.",
            "Install it: pip install '.[bundles]' in Stoker's clone.",
        )
    # A layer may be of several frames; by default the reader ends after the first.
    reader = zstandard.ZstdDecompressor().stream_reader(
        blob.open("rb"), read_across_frames=True, closefd=True
    )
    return cast(BinaryIO, reader)


def _no_model(where: object, why: str) -> UsageError:
    return UsageError(
        f"There is no ModelPack model in {where}.",
        why,
        "Name a model as oci://REGISTRY/NAME:TAG, or as oci:FOLDER for an OCI layout.",
    )
