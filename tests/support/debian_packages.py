"""Servers from Debian's packages, installed where they are missing and that is possible."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

_INSTALL_S = 300

Found = TypeVar("Found")


def found_or_installed(package: str, find: Callable[[], Found | None]) -> Found:
    """What ``find`` finds, if need be after its package was installed; else skips the test."""
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with _alone():
            found = find() or _installed(package, find)
    if found is None:
        pytest.skip(f"{package} is not installed; on Debian: apt-get install {package}")
    return found


def _installed(package: str, find: Callable[[], Found | None]) -> Found | None:
    apt = ["apt-get", "-q", "-y"]
    for command in ([*apt, "update"], [*apt, "install", "--no-install-recommends", package]):
        subprocess.run(
            command,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdout=subprocess.DEVNULL,
            timeout=_INSTALL_S,
        )
    return find()


@contextmanager
def _alone() -> Iterator[None]:
    """Two runs of apt-get exclude each other, and tiers run side by side."""
    with (Path(tempfile.gettempdir()) / "stoker-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
