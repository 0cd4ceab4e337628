"""Write the archive of a bundle, and continue one that was broken off."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from stoker.bundles import blob_store, bundle_archive, bundle_manifest, minisign_keys
from stoker.bundles.bundle_archive import Report
from stoker.bundles.bundle_manifest import Blob, Manifest
from stoker.bundles.minisign_keys import SecretKey
from stoker.errors import StokerError


def write(
    unfinished: Path,
    manifest: Manifest,
    program: bytes,
    sources: Mapping[str, Path],
    key: SecretKey | None,
    report: Report,
) -> None:
    """Write the archive of ``manifest``, or what an earlier run has not written of it.

    ``sources`` has the file of each blob by its digest; ``program`` is the bootstrap. Signed by
    ``key`` unless that is ``None``. Raises ``StokerError`` where a file is not what was hashed, or
    the disk is too small.
    """
    prelude = _prelude(manifest, program, key)
    with unfinished.open("r+b" if unfinished.exists() else "w+b") as out:
        whole = _whole_blobs(out, prelude, manifest)
        left = sum(blob.size_bytes for blob in manifest.blobs[whole:])
        blob_store.check_space((unfinished.parent, left, "the bundle"))
        done = sum(blob.size_bytes for blob in manifest.blobs[:whole])
        for blob in manifest.blobs[whole:]:
            out.write(bundle_archive.header(bundle_archive.blob_name(blob), blob.size_bytes))
            for chunk in _content(sources[blob.sha256], blob):
                out.write(chunk)
                done += len(chunk)
                report(done, manifest.blobs_bytes)
            out.write(bytes(bundle_archive.padding(blob.size_bytes)))
        out.write(bundle_archive.END)
        out.flush()
        os.fsync(out.fileno())


def _prelude(manifest: Manifest, program: bytes, key: SecretKey | None) -> bytes:
    """What precedes the blobs: the manifest, its signature and the bootstrap."""
    content = bundle_manifest.encoded(manifest)
    members = [bundle_archive.member(bundle_archive.MANIFEST, content)]
    if key is not None:
        comment = f"stoker bundle {manifest.stoker_version} {manifest.created}"
        signature = minisign_keys.signature(content, key, comment)
        members.append(bundle_archive.member(bundle_archive.SIGNATURE, signature))
    members.append(bundle_archive.member(bundle_archive.BOOTSTRAP, program))
    return b"".join(members)


def _whole_blobs(out: BinaryIO, prelude: bytes, manifest: Manifest) -> int:
    """How many blobs an earlier run has written; ``out`` stands, and ends, after them."""
    size = out.seek(0, os.SEEK_END)
    out.seek(0)
    end, count = len(prelude), 0
    if out.read(len(prelude)) == prelude:
        for blob in manifest.blobs:
            if end + bundle_archive.member_bytes(blob.size_bytes) > size:
                break
            end += bundle_archive.member_bytes(blob.size_bytes)
            count += 1
    else:
        out.seek(0)
        out.truncate()
        out.write(prelude)
    out.truncate(end)
    out.seek(end)
    return count


def _content(source: Path, blob: Blob) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in blob_store.chunks_of(source):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != blob.sha256:
        raise StokerError(
            f"{source} changed while it was read.",
            "Its content is not the one that was hashed before.",
            "Let nothing write to it, and run the same command again.",
        )
