"""VS Code on this machine: its settings, and Stoker's extension in it."""

from __future__ import annotations

from stoker.vscode.account import signed_in
from stoker.vscode.editor_profiles import in_folder, profiles
from stoker.vscode.installed_editors import Editor, find_editors
from stoker.vscode.settings_reader import (
    Look,
    Scope,
    SettingsFile,
    Versions,
    read_settings,
    versions,
)
from stoker.vscode.settings_writer import (
    EXTENSION_ID,
    EditorConnection,
    Undone,
    connect,
    connections,
    disconnect,
    install,
    missing,
    place,
)
from stoker.vscode.vscode_settings import (
    ANONYMOUS_ACCESS,
    CONSENTS,
    ENDPOINT,
    SETTINGS,
    UTILITY_MODEL,
    Consent,
    Setting,
)
from stoker.vscode.vsix import VSIX, Shipped, shipped

__all__ = [
    "ANONYMOUS_ACCESS",
    "CONSENTS",
    "ENDPOINT",
    "EXTENSION_ID",
    "SETTINGS",
    "UTILITY_MODEL",
    "VSIX",
    "Consent",
    "Editor",
    "EditorConnection",
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
