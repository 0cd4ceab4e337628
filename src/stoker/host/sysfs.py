"""Read small kernel files; what cannot be read is ``None``."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The file's text without the white space around it, or ``None``."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """The one integer in the file (decimal, or hexadecimal after ``0x``), or ``None``."""
    text = read_text(path)
    try:
        return int(text, 0) if text else None
    except ValueError:
        return None


def read_table(path: Path) -> dict[str, int]:
    """The integers of a file with a name and a number on each line; other lines are skipped.

    Takes ``memory.stat`` and KFD's ``properties`` (``name 1``) and ``/proc/meminfo``
    (``name: 1 kB``; the unit is left to the caller).
    """
    table: dict[str, int] = {}
    for line in (read_text(path) or "").splitlines():
        words = line.split()
        if len(words) >= 2 and words[1].isdecimal():
            table[words[0].rstrip(":")] = int(words[1])
    return table


def children(path: Path) -> list[Path]:
    """The entries of the folder, sorted by name; none where it cannot be listed."""
    try:
        return sorted(path.iterdir())
    except OSError:
        return []
