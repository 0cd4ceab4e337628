"""What a bundle states of itself: its target, its blobs, and the items that are made of them.

The manifest is the only thing that is signed. Every other byte of a bundle follows from it
(``bundle_archive``), so who trusts the manifest trusts the whole.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec

from stoker.errors import StokerError

#: The format that this version of Stoker writes and reads.
FORMAT = 1
#: 100,000 blobs take 9 MB; a manifest that claims more than this is not read into memory.
MAX_MANIFEST_BYTES = 64 << 20
MAX_BLOBS = 200_000
#: The most that one blob may claim: 4 TiB, above any published weights.
MAX_BLOB_BYTES = 4 << 40

ItemKind = Literal["wheel", "model", "image", "extension", "docs", "sbom"]
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Size = Annotated[int, msgspec.Meta(ge=0, le=MAX_BLOB_BYTES)]
#: What a path inside an item may be made of: no separators of other systems.
_PART = re.compile(r"[^\\/:]+")
#: The most bytes that Linux and macOS allow in one part of a path (NAME_MAX).
_MAX_PART_BYTES = 255
#: What is printed as it stands can't hold what moves a terminal's cursor.
_Plain = Annotated[str, msgspec.Meta(pattern=r"^[\w.+:-]*$", max_length=64)]

#: Of msgspec: what is no such JSON, no UTF-8, and brackets nested thousands deep.
_DECODE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Blob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content by its digest."""

    sha256: _Sha256
    size_bytes: _Size


class ItemFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of an item: where it lies in the item, and the blob that it is."""

    path: str
    sha256: _Sha256


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a bundle holds: a wheel, a model, an image, the extension, docs or an SBOM."""

    kind: ItemKind
    name: str
    files: tuple[ItemFile, ...]
    #: Of a model: its folder below Stoker's downloaded models. Of an image: empty.
    folder: str = ""
    #: Of a model: what `stoker up` calls it; empty where it is called by its path.
    model_name: str = ""
    #: Of an image: its id, `sha256:...`.
    image_id: str = ""
    #: Of an image: the digest that its registry gives it; empty where it came from no registry.
    registry_digest: str = ""


class TargetMachine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine that the wheels are for."""

    #: Major and minor version of its Python: ``3.11``.
    python: _Plain
    #: ``linux-x86_64``, ``linux-aarch64`` or ``macos-arm64``.
    platform: _Plain
    #: On Linux: the least glibc, such as ``2.28``.
    glibc: _Plain = ""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole description of a bundle."""

    format: int
    stoker_version: _Plain
    #: When it was made, UTC, RFC 3339.
    created: _Plain
    target: TargetMachine
    #: In the archive, in this order.
    blobs: Annotated[tuple[Blob, ...], msgspec.Meta(max_length=MAX_BLOBS)]
    #: Not in the archive: an older bundle brought them. Empty in a whole bundle.
    base_blobs: Annotated[tuple[Blob, ...], msgspec.Meta(max_length=MAX_BLOBS)]
    items: Annotated[tuple[Item, ...], msgspec.Meta(max_length=MAX_BLOBS)]
    #: The extras of Stoker that are to be installed.
    extras: tuple[str, ...] = ()
    #: The program that installs Stoker where it is not yet: a member by its name.
    bootstrap: Blob | None = None

    @property
    def blobs_bytes(self) -> int:
        """Bytes of content in the archive."""
        return sum(blob.size_bytes for blob in self.blobs)

    def of_kind(self, kind: ItemKind) -> list[Item]:
        """The items of one kind, in the manifest's order."""
        return [item for item in self.items if item.kind == kind]


def encoded(manifest: Manifest) -> bytes:
    """The manifest as the bytes that are signed: JSON, the same for the same content."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decoded(content: bytes) -> Manifest:
    """The manifest of ``content``. Raises ``StokerError`` where it is none, or contradicts itself.

    Call it only with content whose signature was checked, or is knowingly done without.
    """
    _refuse_other_format(content)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except _DECODE_ERRORS as error:
        raise _damaged(f"Its manifest is not one of Stoker's: {error}.") from None
    problem = _contradiction(manifest)
    if problem:
        raise _damaged(problem)
    return manifest


def is_safe_path(path: str) -> bool:
    """Whether a relative path stays in the folder that it is joined to, on every system."""
    return 0 < len(path) <= 1024 and all(_is_safe_part(part) for part in path.split("/"))


def _is_safe_part(part: str) -> bool:
    """Whether this is one name everywhere, and shows as what it is."""
    return (
        part not in (".", "..")
        and part.isprintable()
        and _PART.fullmatch(part) is not None
        and len(part.encode()) <= _MAX_PART_BYTES
    )


def _refuse_other_format(content: bytes) -> None:
    try:
        found = msgspec.json.decode(content, type=_AnyFormat).format
    except _DECODE_ERRORS as error:
        raise _damaged(f"Its manifest can't be read: {error}.") from None
    if found == FORMAT:
        return
    newer = found > FORMAT
    raise StokerError(
        f"The bundle has format {found}, and this Stoker reads format {FORMAT}.",
        f"It was made by {'a newer' if newer else 'an older'} version of Stoker.",
        "Load it with the Stoker that made it (bootstrap.py in the bundle does)."
        if newer
        else "Make it again with this version: stoker bundle create.",
    )


class _AnyFormat(msgspec.Struct):
    format: int


def _contradiction(manifest: Manifest) -> str:
    """What in the manifest can't be; empty where all is well."""
    known = [blob.sha256 for blob in (*manifest.blobs, *manifest.base_blobs)]
    if len(set(known)) != len(known):
        return "Its manifest lists a blob twice."
    problem = next(filter(None, map(_item_contradiction, manifest.items)), "")
    if problem:
        return problem
    used = {file.sha256 for item in manifest.items for file in item.files}
    if used != set(known):
        return "Its items and its blobs do not match."
    return ""


def _item_contradiction(item: Item) -> str:
    """What in one item can't be; empty where all is well."""
    places = [file.path for file in item.files]
    checked = [item.folder, *places] if item.folder else places
    unsafe = next((path for path in checked if not is_safe_path(path)), None)
    if unsafe is not None:
        return f"Its manifest names a path that is not safe: {unsafe!r}."
    if len(set(places)) != len(places):
        return f"Its manifest gives {item.name!r} two files of one name."
    folders = {str(parent) for path in places for parent in PurePosixPath(path).parents}
    both = folders.intersection(places)
    if both:
        return f"Its manifest has {min(both)!r} as a file and as a folder."
    return ""


def _damaged(why: str) -> StokerError:
    return StokerError("This is not a sound bundle.", why, "Copy it again, or make it again.")
