"""Servers from Debian's packages, installed where they are missing and that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from typing import TypeVar

import pytest

_INSTALL_S = 300

Found = TypeVar("Found")


def found_or_installed(package: str, find: Callable[[], Found | None]) -> Found:
    """What ``find`` finds, if need be after its package was installed; else skips the test."""
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        apt = ["apt-get", "-q", "-y"]
        for command in ([*apt, "update"], [*apt, "install", "--no-install-recommends", package]):
            subprocess.run(
                command,
                check=False,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdout=subprocess.DEVNULL,
                timeout=_INSTALL_S,
            )
        found = find()
    if found is None:
        pytest.skip(f"{package} is not installed; on Debian: apt-get install {package}")
    return found
