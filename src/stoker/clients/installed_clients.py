"""Which clients are on this machine."""

from __future__ import annotations

import shutil

from stoker.clients.client import Client, Places


def is_installed(client: Client, places: Places) -> bool:
    """Whether its command is on PATH, or the folder exists that it makes."""
    on_path = client.command is not None and shutil.which(client.command) is not None
    return on_path or client.folder(places).is_dir()
