"""Reads and writes whole configuration files, and keeps copies of them."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

from stoker import paths
from stoker.errors import StokerError


def read(path: Path) -> str | None:
    """The text with its line ends and byte order mark; ``None`` if there is no file.

    Writing it gives the same bytes. Raises StokerError.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StokerError(
            f"The file {path} cannot be read.",
            f"{error}.",
            "Check that you own the file and that it is UTF-8, then run this again.",
        ) from error


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes the whole file or nothing. A symbolic link stays a link.

    An existing file keeps its mode; a new one gets ``mode``. Raises StokerError.
    """
    target = path.resolve()
    fresh = target.with_name(f".{target.name}.stoker-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else mode
        fresh.write_bytes(text.encode("utf-8"))
        fresh.chmod(mode)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StokerError(
            f"The file {path} cannot be written.",
            f"{error}.",
            "Check that you own its folder and that the disk is not full, then run this again.",
        ) from error


def refuse_read_only(path: Path, lines: str) -> None:
    """Raises StokerError if ``path`` is read-only; ``lines`` is what to write there by hand.

    Stoker could replace the file, but its owner or a tool (Nix, chezmoi) has protected it.
    """
    target = path.resolve()
    there = next((each for each in (target, *target.parents) if each.exists()), target)
    kept = there == target and not there.stat().st_mode & stat.S_IWUSR
    folder = there.parent if there == target else there
    if kept or not folder.is_dir() or not os.access(folder, os.W_OK):
        protected = "it" if kept else f"to {folder}"
        raise StokerError(
            f"The settings file {path} is read-only.",
            f"You have no permission to write {protected}; a tool may manage it.",
            f"Set it yourself, or in that tool: {lines}",
        )


def refuse_foreign(path: Path, lines: str) -> None:
    """Raises StokerError if ``path`` is a symbolic link or belongs to another user."""
    if path.is_symlink():
        why = f"It is a symbolic link to {path.readlink()}, which a tool may manage."
    elif path.exists() and not path.is_file():
        why = "It is not a regular file."
    elif path.exists() and hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
        why = "It belongs to another user."
    else:
        return
    raise StokerError(
        f"The settings file {path} is left as it is.",
        why,
        f"Set it yourself, or in that tool: {lines}",
    )


def back_up(text: str | None, suffix: str) -> str | None:
    """The path of a private copy of ``text``, whose name ends in ``suffix``."""
    if text is None:
        return None
    folder = paths.state_dir() / "settings-backups"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"settings-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns()}{suffix}"
    backup = folder / name
    backup.touch(mode=0o600)
    backup.write_bytes(text.encode("utf-8"))
    return str(backup)


def restore(path: Path, backup: str | None) -> bool:
    """Restores the whole file, or removes it if there was none. False if the backup is gone."""
    if backup is None:
        path.unlink()
        return True
    before = read(Path(backup))
    if before is not None:
        replace(path, before)
    return before is not None


def sha256(text: str) -> str:
    """The fingerprint by which an unchanged file is recognised."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
