"""Blobs that were loaded, by digest: what a delta builds on, and where a second run continues.

Models are hard links to them, so a model takes its space once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stoker import paths
from stoker.bundles.bundle_archive import CHUNK_BYTES, Report
from stoker.bundles.bundle_manifest import Blob
from stoker.errors import StokerError

#: Left free on the disk: logs and the system need some too.
SPARE_BYTES = 256 << 20
#: What a file system answers that can't link these two files: then they are copied.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)


class BlobStore:
    """A folder of verified blobs. A file has its final name only once it was verified."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or paths.cache_dir() / "bundles" / "blobs"

    @property
    def folder(self) -> Path:
        """Where the blobs are."""
        return self._folder

    def path(self, sha256: str) -> Path:
        """Where the blob of this digest is, or would be."""
        return self._folder / sha256

    @contextmanager
    def only_run(self) -> Iterator[None]:
        """Hold the store: two runs that write one blob would share its unfinished file.

        Raises ``StokerError`` where another run holds it. What a killed run left goes.
        """
        with only_run(self._folder.parent, "loads a bundle as this user"):
            for left in self._folder.glob("*.partial"):
                left.unlink(missing_ok=True)
            yield

    def remove(self, digests: Iterable[str]) -> None:
        """Remove these blobs. Models that are links to them stay whole."""
        for sha256 in digests:
            self.path(sha256).unlink(missing_ok=True)

    def has(self, blob: Blob) -> bool:
        """Whether the blob is here with the size that it must have."""
        try:
            return self.path(blob.sha256).stat().st_size == blob.size_bytes
        except OSError:
            return False

    def verified(self, blobs: Iterable[Blob], report: Report) -> set[str]:
        """The digests of those that are here and whole. A damaged one is removed."""
        here = [blob for blob in blobs if self.has(blob)]
        total, done = sum(blob.size_bytes for blob in here), 0
        sound = set()
        for blob in here:
            digest = hashlib.sha256()
            for chunk in chunks_of(self.path(blob.sha256)):
                digest.update(chunk)
                done += len(chunk)
                report(done, total)
            if digest.hexdigest() == blob.sha256:
                sound.add(blob.sha256)
            else:
                self.path(blob.sha256).unlink()
        return sound

    def add(self, blob: Blob, content: Iterable[bytes]) -> Iterator[int]:
        """Write a blob, and yield the bytes of each piece. Nothing is left behind if that fails.

        ``content`` raises where it is not what the digest promises.
        """
        unfinished = self.path(blob.sha256 + ".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as out:
                for chunk in content:
                    out.write(chunk)
                    yield len(chunk)
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(self.path(blob.sha256))
        except OSError as error:
            raise disk_error(self._folder, error) from error
        finally:
            unfinished.unlink(missing_ok=True)

    def place(self, files: Mapping[Path, str]) -> None:
        """Make each file the blob of its digest: a hard link where the disk allows it, else a copy.

        Files that are there are replaced only once all the new ones are beside them.
        """
        unfinished = {at: at.with_name(f"{at.name}.partial") for at in files}
        try:
            for at, beside in unfinished.items():
                at.parent.mkdir(parents=True, exist_ok=True)
                beside.unlink(missing_ok=True)
                _link(self.path(files[at]), beside)
            for at, beside in unfinished.items():
                beside.replace(at)
        except OSError as error:
            raise disk_error(at.parent, error) from error
        finally:
            # Renaming a link onto another of the same file does nothing, by POSIX.
            for beside in unfinished.values():
                beside.unlink(missing_ok=True)


@contextmanager
def only_run(folder: Path, doing: str) -> Iterator[None]:
    """Hold ``folder`` while no other run does, and make it first.

    ``doing`` is what the other run does. Raises ``StokerError`` where there is one, or where the
    folder can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise StokerError(f"Another run {doing} now.", "", "Wait for it to end.") from None
    except OSError as error:
        raise disk_error(folder, error) from error


def chunks_of(path: Path) -> Iterator[bytes]:
    """A file in pieces, so that memory stays flat."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def check_space(*needs: tuple[Path, int, str]) -> None:
    """Raise ``StokerError`` where a disk can't take what its folders are to hold, in bytes.

    Each need is a folder, which need not exist yet, its bytes, and what they are.
    """
    by_disk: dict[int, list[tuple[Path, int, str]]] = {}
    for folder, needed_bytes, what in needs:
        parents = (folder.absolute(), *folder.absolute().parents)
        # Unlike Path.exists, it takes a folder that this account may not look into for missing.
        there = next(each for each in parents if os.path.exists(each))  # noqa: PTH110
        by_disk.setdefault(there.stat().st_dev, []).append((there, needed_bytes, what))
    for on_it in by_disk.values():
        folder = on_it[0][0]
        wanted = sum(needed_bytes for _, needed_bytes, _ in on_it) + SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < wanted:
            raise StokerError(
                f"There is not enough disk space for {' and '.join(what for *_, what in on_it)}.",
                f"It needs {_gb(wanted)}, and the disk of {folder} has {_gb(free)} free.",
                "Free some space and run the same command again.",
            )


def disk_error(folder: Path, error: OSError) -> StokerError:
    """The error for a write that failed; what was finished stays for the next run."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StokerError(
            f"The disk of {folder} is full.",
            "Nothing was installed; the parts that were written stay for the next run.",
            "Free some space and run the same command again: it continues where it stopped.",
        )
    return StokerError(
        f"{folder} can't be written.", f"{error.strerror or error}.", "Check its permissions."
    )


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
