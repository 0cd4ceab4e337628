"""Making, checking and loading a bundle: bytes per second, and memory at any size.

Goal: checking reads at 300 MB/s of CPU time, and the memory of each step is within 32 MB of that
for a bundle of a few kilobytes. Options: the size of the model in MB (default 2048), and a folder
on the disk to be used. Each step runs in a process of its own.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.small_bundles import KEY, PROGRAM, changed, changed_item, manifest, silent

from stoker.bundles import archive_writing, bundle_archive
from stoker.bundles.blob_store import BlobStore, chunks_of
from stoker.bundles.bundle_manifest import Blob, ItemFile


def weights(path: Path, megabytes: int) -> Blob:
    """A file of random bytes, written in pieces."""
    digest = hashlib.sha256()
    with path.open("wb") as out:
        for _ in range(megabytes):
            piece = os.urandom(1 << 20)
            digest.update(piece)
            out.write(piece)
    return Blob(digest.hexdigest(), megabytes << 20)


def make(folder: Path, blob: Blob) -> None:
    """Write the archive."""
    item = changed_item(manifest().items[1], files=(ItemFile("model.gguf", blob.sha256),))
    described = changed(manifest(), blobs=(blob,), items=(item,))
    sources = {blob.sha256: folder / "weights"}
    archive_writing.write(folder / "a.stoker", described, PROGRAM, sources, KEY, silent)


def check(folder: Path, _blob: Blob) -> None:
    """Verify all of it."""
    bundle_archive.open_archive(folder / "a.stoker", KEY.public).verify(silent)


def take(folder: Path, blob: Blob) -> None:
    """Copy the blob into the store."""
    archive = bundle_archive.open_archive(folder / "a.stoker", KEY.public)
    for _, at in archive.places():
        for _ in BlobStore(folder / "blobs").add(blob, archive.content(blob, at)):
            pass


def again(folder: Path, blob: Blob) -> None:
    """Check what is in the store already."""
    BlobStore(folder / "blobs").verified([blob], silent)


def read(folder: Path, _blob: Blob) -> None:
    """Only read the file, for comparison."""
    for _ in chunks_of(folder / "a.stoker"):
        pass


def measured(
    step: Callable[[Path, Blob], None], folder: Path, blob: Blob
) -> tuple[float, float, int]:
    """Seconds, CPU seconds and the largest memory in bytes of a step, in its own process."""
    parent, child = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(step, folder, blob, child)
    )
    process.start()
    result: tuple[float, float, int] = parent.recv()
    process.join()
    return result


def _run(step: Callable[[Path, Blob], None], folder: Path, blob: Blob, out: object) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    step(folder, blob)
    took = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    out.send((*took, peak))  # type: ignore[attr-defined]


def main() -> None:
    """Measure a small bundle and a large one, and print both."""
    large = int(sys.argv[1]) if len(sys.argv) > 1 else 2048
    where = sys.argv[2] if len(sys.argv) > 2 else None
    for megabytes in (1, large):
        with tempfile.TemporaryDirectory(dir=where) as name:
            folder = Path(name)
            blob = weights(folder / "weights", megabytes)
            for step in (make, check, take, again, read):
                seconds, cpu, peak = measured(step, folder, blob)
                rate = megabytes * 1.048576 / max(cpu, 1e-6)
                print(
                    f"{megabytes:>6} MB  {step.__name__:<6} {seconds:6.2f} s, {cpu:6.2f} s CPU, "
                    f"{rate:7.0f} MB/s of CPU, {peak / 1e6:5.0f} MB"
                )


if __name__ == "__main__":
    main()
