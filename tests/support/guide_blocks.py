"""The fenced commands of the guides that are marked ``run``, and how a test runs them.

A block of the language ``sh run`` needs nothing but Stoker; one of ``sh run engine`` also needs
llama.cpp and a model. GitHub and the site show both as ``sh``. The blocks of a page run in order,
in one shell.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(?:sh|bash) run(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages_with(tier: str) -> list[str]:
    """The pages that have a block of a tier: ``""`` or ``engine``."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page.relative_to(ROOT).as_posix() for page in pages if commands(page, tier)]


def commands(page: Path, tier: str) -> str:
    """The commands of a page's blocks of a tier, in order; empty where it has none."""
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return "".join(text for marked, text in blocks if marked == tier)


def run(page: str, tier: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a page's blocks as they are printed, until one fails. ``home`` is ``STOKER_HOME``."""
    own = Path(sys.executable).parent
    return subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands(ROOT / page, tier)],
        cwd=folder,
        env={**os.environ, "PATH": f"{own}:{os.environ['PATH']}", "STOKER_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
