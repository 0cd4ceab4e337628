"""Reads an editor's versions and settings, and changes nothing."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stoker.config_files import jsonc
from stoker.vscode.installed_editors import Editor
from stoker.vscode.policies import ROOT, policies
from stoker.vscode.settings_writer import EXTENSION_ID
from stoker.vscode.vscode_settings import FOR_ALL_PROFILES, SETTINGS

#: Where a setting can be set, the weakest first: VS Code uses the last one that has a value and
#: applies to the setting. ``application`` is the default profile's settings where another profile
#: is in use.
Scope = Literal["application", "user", "remote", "workspace", "policy"]
#: A setting's own scope -> where it applies. A setting of application scope applies in the user's
#: settings only where those are the default profile's.
_APPLIES: Mapping[str, tuple[Scope, ...]] = {
    "window": ("user", "remote", "workspace", "policy"),
    "machine": ("user", "remote", "policy"),
    "user": ("user", "policy"),
    "application": ("application", "user", "policy"),
}

#: code-server prints its own version first: "4.139.1 53c2f32 with Code 1.139.1".
_WITH_CODE = re.compile(r"with Code (\d+\.\d+\.\d+)")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_EXTENSION = re.compile(rf"^{re.escape(EXTENSION_ID)}@(\S+)$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """One settings file. ``problem`` is why its ``values`` can't be read."""

    path: Path
    scope: Scope
    values: Mapping[str, object] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """What the editor's command reports. ``None`` where it reports nothing."""

    #: The version of VS Code that it is built from.
    vscode: str | None = None
    #: Whether it listed its extensions.
    listed: bool = False
    #: The version of Stoker's extension; ``None`` where it is not listed.
    extension: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """An editor, its versions, and the settings files that it reads, the weakest first."""

    editor: Editor
    versions: Versions
    settings: tuple[SettingsFile, ...]
    #: Whether its chat is signed in; ``False`` where that is unknown.
    signed_in: bool = False

    def effective(self, key: str) -> tuple[object, SettingsFile] | None:
        """The value that the editor uses, and the file that sets it."""
        found = self._found(key)
        return found[-1] if found else None

    def value(self, key: str) -> object:
        """The value that the editor uses: VS Code's default where no file sets one."""
        used = self.effective(key)
        return used[0] if used else SETTINGS[key].default

    def hidden(self, key: str) -> tuple[object, SettingsFile] | None:
        """The value that is overridden, if any: the strongest of the overridden ones."""
        found = self._found(key)
        return found[-2] if len(found) > 1 else None

    def _found(self, key: str) -> list[tuple[object, SettingsFile]]:
        """The values of ``key`` that apply, the weakest first."""
        setting = SETTINGS.get(key)
        applies = _APPLIES[setting.scope if setting else "window"]
        default = next((f for f in self.settings if f.scope == "application"), None)
        if default is not None:
            if setting and setting.scope == "application":
                applies = ("application", "policy")
            elif key in _list(default.values.get(FOR_ALL_PROFILES)):
                applies = ("application", *(s for s in applies if s != "user"))
        return [(f.values[key], f) for f in self.settings if f.scope in applies and key in f.values]


def read_settings(editor: Editor, folder: Path, root: Path = ROOT) -> tuple[SettingsFile, ...]:
    """The settings files of ``editor`` in a window on ``folder``, the weakest first.

    Missing files are left out. Policies are looked for below ``root``.
    """
    places: list[tuple[Path, Scope]] = [(editor.settings, "user")]
    base = editor.default_settings or editor.settings
    if editor.is_remote:
        places = [(editor.settings, "remote")]
    elif base.parent.name == "User":
        places.append((base.parent.parent / "Machine/settings.json", "remote"))
    if base != editor.settings:
        places.insert(0, (base, "application"))
    workspace = _workspace(folder)
    if workspace is not None:
        places.append((workspace, "workspace"))
    read = [_read(path, scope) for path, scope in places]
    locked = policies(editor, root)
    if locked is not None:
        read.append(SettingsFile(locked[0], "policy", locked[1]))
    return tuple(file for file in read if file is not None)


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def versions(editor: Editor, within_s: float) -> Versions:
    """Asks the editor's command for both versions, for ``within_s`` at most. Never raises."""
    asked = [
        _asked(editor.command_line, "--list-extensions", "--show-versions"),
        _asked(editor.command_line, "--version"),
    ]
    deadline = time.monotonic() + within_s
    listed, version = (_answer(process, deadline) for process in asked)
    extension = _EXTENSION.search(listed or "")
    return Versions(_vscode(version), listed is not None, extension[1] if extension else None)


def _workspace(folder: Path) -> Path | None:
    """The workspace settings of the folder, or of its nearest parent that has any."""
    home = Path.home()
    for each in (folder, *folder.parents):
        if each == home:
            return None  # the home folder's own .vscode is not a workspace's
        if (each / ".vscode/settings.json").is_file():
            return each / ".vscode/settings.json"
    return None


def _read(path: Path, scope: Scope) -> SettingsFile | None:
    try:
        return SettingsFile(path, scope, jsonc.values(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        return SettingsFile(path, scope, problem=error.strerror or "it can't be opened")
    except UnicodeDecodeError:
        return SettingsFile(path, scope, problem="it is not UTF-8")
    except ValueError as error:
        return SettingsFile(path, scope, problem=str(error))


def _asked(command: Sequence[str], *arguments: str) -> subprocess.Popen[str] | None:
    try:
        return subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
    except OSError:
        return None


def _answer(process: subprocess.Popen[str] | None, deadline: float) -> str | None:
    if process is None:
        return None
    try:
        output, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        return None
    return output if process.returncode == 0 else None


def _vscode(output: str | None) -> str | None:
    inside = _WITH_CODE.search(output or "")
    if inside:
        return inside[1]
    first = _VERSION.match(output or "")
    return first[0] if first else None
