"""VS Code on this machine: its settings, and Stoker's extension in it."""

from __future__ import annotations

from stoker.editor.connect import (
    ENDPOINT,
    EXTENSION_ID,
    UTILITY_MODEL,
    Change,
    Connection,
    Undone,
    connect,
    connections,
    disconnect,
    install,
)
from stoker.editor.find import Editor, find_editors
from stoker.editor.look import Look, Scope, SettingsFile, Versions, read_settings, versions
from stoker.editor.vsix import VSIX, Shipped, shipped

__all__ = [
    "ENDPOINT",
    "EXTENSION_ID",
    "UTILITY_MODEL",
    "VSIX",
    "Change",
    "Connection",
    "Editor",
    "Look",
    "Scope",
    "SettingsFile",
    "Shipped",
    "Undone",
    "Versions",
    "connect",
    "connections",
    "disconnect",
    "find_editors",
    "install",
    "read_settings",
    "shipped",
    "versions",
]
