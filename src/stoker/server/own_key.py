"""The key with which Stoker's own commands ask the gateway of the deployment on this machine."""

from __future__ import annotations

import secrets
from pathlib import Path

from stoker import paths
from stoker.access.api_keys import Keys, KnownKey, hash_of
from stoker.access.caller import Caller
from stoker.private_files import make_private, write_private


def draw() -> Keys:
    """Make a new key for this run of the gateway. Raises ``OSError`` where it can't be kept."""
    key = secrets.token_urlsafe(32)
    make_private(paths.state_dir())
    write_private(_file(), key.encode())
    caller = Caller("stoker", "stoker", role="admin")
    return Keys({}, [KnownKey(bytes.fromhex(hash_of(key)), caller)])


def read() -> str | None:
    """The key of the gateway that runs here; ``None`` where there is none to be read."""
    try:
        return _file().read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


def headers() -> dict[str, str]:
    """The header that a request of Stoker's own commands needs; none where there is no key."""
    key = read()
    return {"Authorization": f"Bearer {key}"} if key else {}


def _file() -> Path:
    return paths.state_dir() / "own.key"
