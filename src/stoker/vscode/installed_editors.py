"""The VS Code family on this machine: which editors there are, and where each keeps settings."""

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
    """An installed editor in one profile: its command, and the user's settings that count there."""

    name: str
    command: Path
    settings: Path
    #: The profile, where it is not the default; and then the default profile's settings.
    profile: str | None = None
    default_settings: Path | None = None
    #: What its command needs to mean this one: the folders of a code-server that runs elsewhere.
    options: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name, with the profile where it is not the default."""
        return self.name if self.profile is None else f"{self.name}, profile {self.profile}"

    @property
    def command_line(self) -> tuple[str, ...]:
        """The command, with what makes it speak of this editor in this profile."""
        profile = () if self.profile is None else ("--profile", self.profile)
        return (str(self.command), *self.options, *profile)

    @property
    def is_remote(self) -> bool:
        """Whether it is a remote window's: what is here are that machine's settings alone."""
        return self.settings.parent.name == "Machine"

    @property
    def application_settings(self) -> Path | None:
        """The one file in which settings of application scope count; ``None``: it is elsewhere."""
        return None if self.is_remote else self.default_settings or self.settings

    @property
    def in_browser(self) -> bool:
        """Whether its windows are pages of a browser, or their extensions run on another machine.

        VS Code's Copilot harness gets no model of an extension there.
        """
        return self.is_remote or self.name.startswith(_CODE_SERVER)


@dataclass(frozen=True, slots=True)
class _EditorKind:
    name: str
    command: str
    #: Its folder beside others' settings, and its bundle's name on macOS.
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
    # The last one: _running() goes by that.
    _EditorKind(_CODE_SERVER, _CODE_SERVER, _CODE_SERVER),
)


def find_editors() -> tuple[Editor, ...]:
    """The editors whose command can be run, in the order in which people use them.

    Each is in its default profile. A code-server that runs with folders of its own is one too.
    """
    remote = _remote_command()
    if remote is not None:
        # In a terminal of a remote window, `code` belongs to that window and no other is here.
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
    """The code-servers that run here and are not the one that is ``installed``, each once."""
    known = set() if installed is None else {installed.settings}
    found = []
    for server in running_code_servers():
        settings = (server.user_data or _settings_folder(_KINDS[-1])) / "User/settings.json"
        if settings in known:
            continue
        # Findings name an editor, so each needs a name of its own.
        name = f"{_CODE_SERVER} in {server.user_data}" if known else _CODE_SERVER
        known.add(settings)
        found.append(Editor(name, server.command, settings, options=server.options))
    return tuple(found)


def _remote_command() -> Path | None:
    """The remote command line, which VS Code puts on PATH beside this variable."""
    command = shutil.which("code") if os.environ.get("VSCODE_IPC_HOOK_CLI") else None
    return Path(command) if command and "remote-cli" in command else None


def _command(kind: _EditorKind) -> Path | None:
    on_path = shutil.which(kind.command)
    if on_path:
        return Path(on_path)
    return next((path for path in _usual_places(kind) if path.is_file()), None)


def _usual_places(kind: _EditorKind) -> list[Path]:
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
    everywhere = [Path("/snap/bin") / kind.command, Path.home() / ".local/bin" / kind.command]
    if kind.command == _CODE_SERVER:
        return [*everywhere, *_code_server_places()]
    # Debian's and Fedora's packages, then Flatpak's, which puts a command of the app's id there.
    folder = "codium" if kind.command == "codium" else kind.command
    return [
        *everywhere,
        Path("/usr/share") / folder / "bin" / kind.command,
        *(root / "exports/bin" / kind.flatpak for root in _flatpaks() if kind.flatpak),
    ]


def _flatpaks() -> tuple[Path, ...]:
    return (Path("/var/lib/flatpak"), Path.home() / ".local/share/flatpak")


def _code_server_places() -> list[Path]:
    """Its installer's folders (newest version first), its packages', and npm's."""
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
