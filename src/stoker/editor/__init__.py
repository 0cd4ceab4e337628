"""VS Code on this machine: its settings, and Stoker's extension in it."""

from __future__ import annotations

from stoker.editor.account import signed_in
from stoker.editor.connect import (
    EXTENSION_ID,
    Change,
    Connection,
    Undone,
    connect,
    connections,
    disconnect,
    install,
    missing,
    place,
)
from stoker.editor.find import Editor, find_editors
from stoker.editor.look import Look, Scope, SettingsFile, Versions, read_settings, versions
from stoker.editor.profiles import in_folder, profiles
from stoker.editor.vscode_settings import (
    ANONYMOUS_ACCESS,
    CONSENTS,
    ENDPOINT,
    SETTINGS,
    UTILITY_MODEL,
    Consent,
    Setting,
)
from stoker.editor.vsix import VSIX, Shipped, shipped

__all__ = [
    "ANONYMOUS_ACCESS",
    "CONSENTS",
    "ENDPOINT",
    "EXTENSION_ID",
    "SETTINGS",
    "UTILITY_MODEL",
    "VSIX",
    "Change",
    "Connection",
    "Consent",
    "Editor",
    "Look",
    "Scope",
    "Setting",
    "SettingsFile",
    "Shipped",
    "Undone",
    "Versions",
    "connect",
    "connections",
    "disconnect",
    "find_editors",
    "in_folder",
    "install",
    "missing",
    "place",
    "profiles",
    "read_settings",
    "shipped",
    "signed_in",
    "versions",
]
