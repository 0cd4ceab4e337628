"""The real vllm-router, in an environment of its own in the cache."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stoker.deploy.site import ROUTER_VERSION

_INSTALL_S = 600


@functools.cache
def program() -> Path:
    """Its program, installed where it is missing; else skips the test."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stoker"
    folder = cache / f"vllm-router-{ROUTER_VERSION}"
    found = folder / "bin" / "vllm-router"
    if not found.exists():
        wanted = f"vllm-router=={ROUTER_VERSION}"
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(folder / "bin/python"), "-m", "pip", "install", "-q", wanted],
        ):
            done = subprocess.run(command, check=False, timeout=_INSTALL_S)
            if done.returncode != 0:
                pytest.skip(f"{wanted} can't be installed here")
    return found
