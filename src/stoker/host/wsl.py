"""Whether Linux runs under Windows."""

from __future__ import annotations

from pathlib import Path

from stoker.host.sysfs import read_text


def is_wsl2(root: Path = Path("/")) -> bool:
    """True in WSL 2, whose kernel release ends in ``-microsoft-standard-WSL2``.

    WSL 1 has no kernel of its own and no GPU; it writes ``-Microsoft`` with a capital letter.
    """
    return "microsoft" in (read_text(root / "proc/sys/kernel/osrelease") or "")
