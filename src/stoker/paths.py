"""Stoker's folders: one each for settings, state, logs and downloads.

``STOKER_HOME`` moves all of them under one folder. Tests, and users with several deployments on one
machine, keep them apart with it.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_APP = "stoker"


def expanded(path: str | Path) -> Path:
    """A path that a person wrote, with the home that a ``~`` stands for.

    One of a user whom this machine does not have stays as written: it is a path that is missing.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  (Path.expanduser raises RuntimeError)


def config_dir() -> Path:
    """The folder of the files that the user writes: settings and additions to the catalogues."""
    return _folder("config", platformdirs.user_config_path(_APP))


def state_dir() -> Path:
    """The folder of the running deployment's state and keys; it is private to the user."""
    return _folder("state", platformdirs.user_state_path(_APP))


def deployment_file() -> Path:
    """The file that describes the running deployment; it exists only while there is one."""
    return state_dir() / "deployment.json"


def heads_file() -> Path:
    """What each client's conversations begin with: its system prompt and tools."""
    return state_dir() / "heads.json"


def log_dir() -> Path:
    """The folder of the rotating logs of the supervisor and the engines."""
    return _folder("log", platformdirs.user_log_path(_APP))


def cache_dir() -> Path:
    """The folder of downloaded models and other files that can be downloaded again."""
    return _folder("cache", platformdirs.user_cache_path(_APP))


def _folder(name: str, default: Path) -> Path:
    home = os.environ.get("STOKER_HOME")
    return Path(home) / name if home else default
