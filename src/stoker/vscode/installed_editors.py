"""The editors on this machine that are VS Code or based on it, and where each keeps settings."""

from __future__ import annotations

import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from stoker.vscode.running import running_code_servers

_CODE_SERVER = "code-server"


@dataclass(frozen=True, slots=True)
class Editor:
    """An installed editor in one profile: its command, and the user settings that apply there."""

    name: str
    command: Path
    settings: Path
    #: The profile's name and the default profile's settings; both ``None`` in the default profile.
    profile: str | None = None
    default_settings: Path | None = None
    #: Options that make its command address this editor: the folders of a running code-server.
    options: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name, with the profile where it is not the default."""
        return self.name if self.profile is None else f"{self.name}, profile {self.profile}"

    @property
    def command_line(self) -> tuple[str, ...]:
        """The command with the options that select this editor and this profile."""
        profile = () if self.profile is None else ("--profile", self.profile)
        return (str(self.command), *self.options, *profile)

    @property
    def is_remote(self) -> bool:
        """Whether it belongs to a remote window, of which only the machine's settings are here."""
        return self.settings.parent.name == "Machine"

    @property
    def application_settings(self) -> Path | None:
        """The file where settings of application scope apply; ``None`` if on another machine."""
        return None if self.is_remote else self.default_settings or self.settings

    @property
    def in_browser(self) -> bool:
        """Whether its windows are in a browser, or their extensions run on another machine.

        VS Code's Copilot harness can't use models from extensions there.
        """
        return self.is_remote or self.name.startswith(_CODE_SERVER)


@dataclass(frozen=True, slots=True)
class _EditorKind:
    name: str
    command: str
    #: The name of its settings folder, its macOS bundle, and its Flatpak id.
    folder: str
    bundle: str = ""
    flatpak: str = ""


_KINDS = (
    _EditorKind("VS Code", "code", "Code", "Visual Studio Code", "com.visualstudio.code"),
    _EditorKind(
        "VS Code Insiders", "code-insiders", "Code - Insiders", "Visual Studio Code - Insiders"
    ),
    _EditorKind("VSCodium", "codium", "VSCodium", "VSCodium", "com.vscodium.codium"),
    _EditorKind("Cursor", "cursor", "Cursor", "Cursor"),
    # Last: _running() relies on it.
    _EditorKind(_CODE_SERVER, _CODE_SERVER, _CODE_SERVER),
)


def find_editors() -> tuple[Editor, ...]:
    """The editors whose command can be run, the most used first.

    Each is in its default profile. A running code-server with its own folders counts as one more.
    """
    remote = _remote_command()
    if remote is not None:
        # In a remote window's terminal, `code` means that window, and there is no other editor.
        settings = Path.home() / ".vscode-server/data/Machine/settings.json"
        return (Editor("VS Code (remote)", remote, settings),)
    here = [_installed(kind) for kind in _KINDS]
    return (*(each for each in here if each is not None), *_running(here[-1]))


def _installed(kind: _EditorKind) -> Editor | None:
    command = _command(kind)
    if command is None:
        return None
    folder = _settings_folder(kind)
    if command.name == kind.flatpak:
        folder = Path.home() / ".var/app" / kind.flatpak / "config" / kind.folder
    return Editor(kind.name, command, folder / "User/settings.json")


def _running(installed: Editor | None) -> tuple[Editor, ...]:
    """The running code-servers other than ``installed``, each once."""
    known = set() if installed is None else {installed.settings}
    found = []
    for server in running_code_servers():
        settings = (server.user_data or _settings_folder(_KINDS[-1])) / "User/settings.json"
        if settings in known:
            continue
        # Findings identify an editor by its name, so each name must be unique.
        name = f"{_CODE_SERVER} in {server.user_data}" if known else _CODE_SERVER
        known.add(settings)
        found.append(Editor(name, server.command, settings, options=server.options))
    return tuple(found)


def _remote_command() -> Path | None:
    """The remote command line, which VS Code puts on PATH when it sets this variable."""
    command = shutil.which("code") if os.environ.get("VSCODE_IPC_HOOK_CLI") else None
    return Path(command) if command and "remote-cli" in command else None


def _command(kind: _EditorKind) -> Path | None:
    on_path = shutil.which(kind.command)
    if on_path:
        return Path(on_path)
    return next((path for path in _usual_places(kind) if path.is_file()), None)


def _usual_places(kind: _EditorKind) -> list[Path]:
    """Where installers put a command that is not on PATH."""
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
    everywhere = [Path("/snap/bin") / kind.command, Path.home() / ".local/bin" / kind.command]
    if kind.command == _CODE_SERVER:
        return [*everywhere, *_code_server_places()]
    # Debian's and Fedora's packages, then Flatpak's, which names the command after the app's id.
    folder = "codium" if kind.command == "codium" else kind.command
    return [
        *everywhere,
        Path("/usr/share") / folder / "bin" / kind.command,
        *(root / "exports/bin" / kind.flatpak for root in _flatpaks() if kind.flatpak),
    ]


def _flatpaks() -> tuple[Path, ...]:
    return (Path("/var/lib/flatpak"), Path.home() / ".local/share/flatpak")


def _code_server_places() -> list[Path]:
    """The folders of code-server's installer (newest version first), its packages and npm."""
    home = Path.home()
    own = list((home / ".local/lib").glob("code-server-*/bin/code-server"))
    own.sort(key=lambda path: [int(n) for n in re.findall(r"\d+", path.parts[-3])], reverse=True)
    prefixes = (Path("/usr/local"), home / ".npm-global", home / ".local", home / ".npm-packages")
    npm = [prefix / "bin" / _CODE_SERVER for prefix in prefixes]
    return [*own, Path("/usr/lib/code-server/bin/code-server"), *npm]


def _settings_folder(kind: _EditorKind) -> Path:
    home = Path.home()
    if kind.command == "code-server":
        return Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share") / kind.folder
    if platform.system() == "Darwin":
        return home / "Library/Application Support" / kind.folder
    if platform.system() == "Windows":
        return Path(os.environ.get("APPDATA", home / "AppData/Roaming")) / kind.folder
    return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / kind.folder
