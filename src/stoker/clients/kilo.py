"""Kilo Code's CLI, which is built on opencode."""

from __future__ import annotations

from pathlib import Path

from stoker.clients import opencode
from stoker.clients.client import Client, ConfigFile, Connection, Places


def _files(places: Places, to: Connection) -> tuple[ConfigFile, ...]:
    return (ConfigFile(_folder(places) / "kilo.json", "json", opencode.settings(to)),)


def _folder(places: Places) -> Path:
    return places.config / "kilo"


CLIENT = Client("kilo", "Kilo Code CLI", "chat", "kilo", _folder, _files)
