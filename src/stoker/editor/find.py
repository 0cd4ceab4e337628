"""The VS Code family on this machine: which editors there are, and where each keeps settings."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Editor:
    """An installed editor: its name, its command, and its user's settings file."""

    name: str
    command: Path
    settings: Path

    @property
    def is_remote(self) -> bool:
        """Whether it is a remote window's: what is here are that machine's settings alone."""
        return self.settings.parent.name == "Machine"

    @property
    def application_settings(self) -> Path | None:
        """The one file in which settings of application scope count; ``None``: it is elsewhere."""
        return None if self.is_remote else self.settings


@dataclass(frozen=True, slots=True)
class _Kind:
    name: str
    command: str
    #: Its folder beside others' settings, and its bundle's name on macOS.
    folder: str
    bundle: str = ""


_KINDS = (
    _Kind("VS Code", "code", "Code", "Visual Studio Code"),
    _Kind("VS Code Insiders", "code-insiders", "Code - Insiders", "Visual Studio Code - Insiders"),
    _Kind("VSCodium", "codium", "VSCodium", "VSCodium"),
    _Kind("Cursor", "cursor", "Cursor", "Cursor"),
    _Kind("code-server", "code-server", "code-server"),
)


def find_editors() -> tuple[Editor, ...]:
    """The editors whose command can be run, in the order in which people use them."""
    remote = _remote_command()
    if remote is not None:
        # In a terminal of a remote window, `code` belongs to that window and no other is here.
        settings = Path.home() / ".vscode-server/data/Machine/settings.json"
        return (Editor("VS Code (remote)", remote, settings),)
    found = ((kind, _command(kind)) for kind in _KINDS)
    return tuple(
        Editor(kind.name, command, _settings_folder(kind) / "User/settings.json")
        for kind, command in found
        if command is not None
    )


def _remote_command() -> Path | None:
    """The remote command line, which VS Code puts on PATH beside this variable."""
    command = shutil.which("code") if os.environ.get("VSCODE_IPC_HOOK_CLI") else None
    return Path(command) if command and "remote-cli" in command else None


def _command(kind: _Kind) -> Path | None:
    on_path = shutil.which(kind.command)
    if on_path:
        return Path(on_path)
    return next((path for path in _usual_places(kind) if path.is_file()), None)


def _usual_places(kind: _Kind) -> list[Path]:
    """Where installers put the command when they do not put it on PATH."""
    if platform.system() == "Darwin" and kind.bundle:
        inside = f"{kind.bundle}.app/Contents/Resources/app/bin"
        folders = [Path("/Applications"), Path.home() / "Applications"]
        return [folder / inside / name for folder in folders for name in (kind.command, "code")]
    if platform.system() == "Windows" and kind.bundle:
        programs = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "Programs"
        short = f"Microsoft {kind.bundle.removeprefix('Visual Studio ')}"
        return [
            programs / folder / "bin" / f"{kind.command}.cmd"
            for folder in (kind.bundle, short, f"{kind.command}/resources/app")
        ]
    return [Path("/snap/bin") / kind.command, Path.home() / ".local/bin" / kind.command]


def _settings_folder(kind: _Kind) -> Path:
    home = Path.home()
    if kind.command == "code-server":
        return Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share") / kind.folder
    if platform.system() == "Darwin":
        return home / "Library/Application Support" / kind.folder
    if platform.system() == "Windows":
        return Path(os.environ.get("APPDATA", home / "AppData/Roaming")) / kind.folder
    return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / kind.folder
