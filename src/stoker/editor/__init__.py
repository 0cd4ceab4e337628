"""VS Code on this machine: its settings, and Stoker's extension in it."""

from __future__ import annotations

from stoker.editor.connect import (
    ENDPOINT,
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
from stoker.editor.vsix import VSIX

__all__ = [
    "ENDPOINT",
    "UTILITY_MODEL",
    "VSIX",
    "Change",
    "Connection",
    "Editor",
    "Undone",
    "connect",
    "connections",
    "disconnect",
    "find_editors",
    "install",
]
