"""Editors and agents other than VS Code: what each must know, and the files that hold it."""

from __future__ import annotations

from stoker.clients.client import (
    Client,
    ConfigFile,
    Connection,
    Places,
    connection_to,
    places_here,
)
from stoker.clients.client_connections import (
    ConnectedFile,
    UndoneFile,
    as_new_file,
    check,
    connect,
    connected_files,
    disconnect,
)
from stoker.clients.client_table import CLIENTS
from stoker.clients.installed_clients import is_installed

__all__ = [
    "CLIENTS",
    "Client",
    "ConfigFile",
    "ConnectedFile",
    "Connection",
    "Places",
    "UndoneFile",
    "as_new_file",
    "check",
    "connect",
    "connected_files",
    "connection_to",
    "disconnect",
    "is_installed",
    "places_here",
]
