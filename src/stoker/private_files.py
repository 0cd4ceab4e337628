"""Files and folders that only their owner may read."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: A holder reads and writes one small file.
_LOCKED_S = 5.0


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """No other process of Stoker's changes the file meanwhile. Makes its folder.

    Raises ``OSError``, also where another process holds it for long (``TimeoutError``).
    """
    from filelock import FileLock  # noqa: PLC0415  (most commands change no file)

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCKED_S):
        yield


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def give_to_folder_owner(path: Path) -> None:
    """Give a file that root made to the owner of its folder, whose programs are to use it."""
    if os.name != "posix" or os.geteuid() != 0:
        return
    folder, made = path.parent.stat(), path.stat()
    if (made.st_uid, made.st_gid) != (folder.st_uid, folder.st_gid):
        os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)


def make_private(folder: Path) -> None:
    """Make the folder, or take away what others may do in it. Raises ``OSError``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
