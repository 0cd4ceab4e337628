"""The file system on which models are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from stoker.host.hardware import Disk


def disk(folder: Path) -> Disk | None:
    """The disk that ``folder`` is on or, until it exists, would be created on."""
    for existing in (folder, *folder.parents):
        try:
            usage = shutil.disk_usage(existing)
        except OSError:
            continue
        return Disk(str(folder), usage.total, usage.free)
    return None
