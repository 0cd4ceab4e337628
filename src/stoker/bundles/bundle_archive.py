"""The archive: a tar file of which every byte follows from its manifest.

::

    manifest.json            what is signed
    manifest.json.minisig    the signature; absent in an unsigned bundle
    bootstrap.py             installs Stoker where it is not yet; a blob by its name
    blobs/sha256/<digest>    every blob, in the manifest's order
    1,024 zero bytes

A reader does not interpret headers: it computes the one that must stand there and compares. So
there are no links, devices, other names, duplicates or sizes to be careful about, and nothing is
written by a name from the archive. ``tar -x`` reads it too.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stoker.bundles import bundle_manifest, minisign_keys
from stoker.bundles.bundle_manifest import MAX_MANIFEST_BYTES, Blob, Manifest
from stoker.bundles.minisign_keys import PublicKey
from stoker.errors import StokerError

MANIFEST, SIGNATURE, BOOTSTRAP = "manifest.json", "manifest.json.minisig", "bootstrap.py"
BLOCK_BYTES = 512
CHUNK_BYTES = 1 << 20
END = bytes(2 * BLOCK_BYTES)

#: Called with the bytes done and the bytes in all.
Report = Callable[[int, int], None]
#: Called with the step, the bytes done, and those in all where they are known.
Progress = Callable[[str, int, "int | None"], None]


def header(name: str, size_bytes: int) -> bytes:
    """The one header that a member of this name and size has."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o644
    # GNU's form has room for sizes above 8 GiB in the same 512 bytes.
    return info.tobuf(tarfile.GNU_FORMAT, "ascii", "strict")


def blob_name(blob: Blob) -> str:
    """The name of a blob's member."""
    return f"blobs/sha256/{blob.sha256}"


def padding(size_bytes: int) -> int:
    """Zero bytes after content of this size."""
    return -size_bytes % BLOCK_BYTES


def member_bytes(size_bytes: int) -> int:
    """Bytes that a member of this size takes, with its header and padding."""
    return BLOCK_BYTES + size_bytes + padding(size_bytes)


def member(name: str, content: bytes) -> bytes:
    """A whole small member."""
    return header(name, len(content)) + content + bytes(padding(len(content)))


@dataclass(frozen=True, slots=True)
class Archive:
    """An opened bundle whose manifest is trusted; its blobs are read, and checked, one by one."""

    path: Path
    manifest: Manifest
    #: Of the manifest as it was signed: names the bundle.
    digest: str
    is_signed: bool
    #: Where the first blob's header begins, in bytes.
    blobs_at: int

    @property
    def size_bytes(self) -> int:
        """The size that the file must have."""
        return self.blobs_at + sum(member_bytes(b.size_bytes) for b in self.manifest.blobs) + 1024

    def verify(self, report: Report) -> None:
        """Hash every blob. Raises ``StokerError`` at the first that differs; writes nothing."""
        done = 0
        with self._opened() as file:
            for blob in self.manifest.blobs:
                for chunk in read_blob(file, blob):
                    done += len(chunk)
                    report(done, self.manifest.blobs_bytes)
            if file.read(len(END) + 1) != END:
                raise altered("It does not end where its manifest ends.")

    def places(self) -> Iterator[tuple[Blob, int]]:
        """Every blob with the place of its header."""
        at = self.blobs_at
        for blob in self.manifest.blobs:
            yield blob, at
            at += member_bytes(blob.size_bytes)

    def content(self, blob: Blob, at: int) -> Iterator[bytes]:
        """The content of one blob, hashed on the way: the last chunk comes before the check."""
        with self._opened() as file:
            file.seek(at)
            yield from read_blob(file, blob)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.blobs_at)
                yield file
        except OSError as error:
            raise _unreadable(self.path, error) from error


def open_archive(path: Path, key: PublicKey | None) -> Archive:
    """Read and trust the manifest of the bundle at ``path``. Nothing of the blobs is read yet.

    Without a ``key`` a signature is not looked at. Raises ``StokerError`` where the file is no
    bundle, is cut short or longer than it must be, or is not signed by ``key``.
    """
    try:
        with path.open("rb") as file:
            return _opened(path, file, key)
    except OSError as error:
        raise _unreadable(path, error) from error


def _opened(path: Path, file: BinaryIO, key: PublicKey | None) -> Archive:
    content = _first_member(file)
    signature = _signature(file)
    if key is not None:
        if signature is None:
            raise _unsigned()
        minisign_keys.verify(content, signature, key)
    manifest = bundle_manifest.decoded(content)
    bootstrap_at = file.tell()
    bootstrap = member_bytes(manifest.bootstrap.size_bytes) if manifest.bootstrap else 0
    digest = hashlib.sha256(content).hexdigest()
    signed = signature is not None
    archive = Archive(path, manifest, digest, signed, bootstrap_at + bootstrap)
    _refuse_other_size(file.seek(0, 2), archive.size_bytes)
    if manifest.bootstrap is not None:
        file.seek(bootstrap_at)
        for _ in read_blob(file, manifest.bootstrap, BOOTSTRAP):
            pass
    return archive


def read_blob(file: BinaryIO, blob: Blob, name: str = "") -> Generator[bytes, None, None]:
    """The content of the blob at the file's position, in chunks. Raises where it differs."""
    _expect(file, header(name or blob_name(blob), blob.size_bytes), "a header")
    digest, left = hashlib.sha256(), blob.size_bytes
    while left:
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise cut_short()
        digest.update(chunk)
        left -= len(chunk)
        yield chunk
    if digest.hexdigest() != blob.sha256:
        raise altered(f"The content of blob {blob.sha256[:12]} does not match its digest.")
    _expect(file, bytes(padding(blob.size_bytes)), "the padding of a blob")


def altered(why: str) -> StokerError:
    """The error for a bundle that differs from its manifest."""
    return StokerError(
        "The bundle was altered or damaged.", why, "Copy it again; if that fails, ask its maker."
    )


def cut_short() -> StokerError:
    """The error for a bundle of which the end is missing."""
    return StokerError(
        "The bundle is cut short.", "Its end is missing.", "Copy it again: the copy was broken off."
    )


def _first_member(file: BinaryIO) -> bytes:
    block = file.read(BLOCK_BYTES)
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeError):
        raise _no_bundle() from None
    if info.name != MANIFEST:
        raise _no_bundle()
    if not 0 < info.size <= MAX_MANIFEST_BYTES:
        raise altered(f"Its manifest claims {info.size:,} bytes.")
    if block != header(MANIFEST, info.size):
        raise altered("The header of its manifest is not as it must be.")
    return _content(file, info.size)


def _signature(file: BinaryIO) -> bytes | None:
    """The signature that follows the manifest; ``None`` where none does."""
    start = file.tell()
    block = file.read(BLOCK_BYTES)
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.HeaderError, UnicodeError):
        info = tarfile.TarInfo()
    if info.name != SIGNATURE:
        file.seek(start)
        return None
    if info.size > minisign_keys.MAX_FILE_BYTES or block != header(SIGNATURE, max(info.size, 0)):
        raise altered("The header of its signature is not as it must be.")
    return _content(file, info.size)


def _content(file: BinaryIO, size: int) -> bytes:
    content = file.read(size)
    if len(content) < size:
        raise cut_short()
    _expect(file, bytes(padding(size)), "the padding of its manifest")
    return content


def _expect(file: BinaryIO, wanted: bytes, what: str) -> None:
    found = file.read(len(wanted))
    if len(found) < len(wanted):
        raise cut_short()
    if found != wanted:
        raise altered(f"It has something else where {what} must be.")


def _refuse_other_size(found: int, wanted: int) -> None:
    if found < wanted:
        raise StokerError(
            "The bundle is cut short.",
            f"It has {found:,} of {wanted:,} bytes.",
            "Copy it again: the copy was broken off.",
        )
    if found > wanted:
        raise altered(f"{found - wanted:,} bytes follow its end.")


def _unsigned() -> StokerError:
    return StokerError(
        "The bundle is not signed.",
        "Anyone could have made or changed it.",
        "Ask its maker for a signed one. To use it anyway: --allow-unsigned, without --key.",
    )


def _no_bundle() -> StokerError:
    return StokerError(
        "This is not a bundle.",
        "It does not begin with a manifest.",
        "Give a file that stoker bundle create wrote.",
    )


def _unreadable(path: Path, error: OSError) -> StokerError:
    return StokerError(f"{path} can't be read.", f"{error.strerror or error}.", "Check the path.")
