"""Settings that an organisation locks on this machine. A policy overrides every settings file.

VS Code reads policies from a file on Linux, from managed preferences on macOS, and from the
registry on Windows. A policy that can't be read counts as not set.
"""

from __future__ import annotations

import json
import platform
import plistlib
import sys
from collections.abc import Mapping
from pathlib import Path

from stoker.vscode.installed_editors import Editor
from stoker.vscode.vscode_settings import ALLOWED_EXTENSIONS, SETTINGS, Setting

#: Where VS Code 1.106 and newer reads policies on Linux, below the root of the file system.
_LINUX_FILE = Path("etc/vscode/policy.json")
_MACOS_FOLDER = Path("Library/Managed Preferences")
#: The root of the file system.
ROOT = Path("/")
#: Editor -> its macOS bundle id and its Windows registry key, from its ``product.json``.
_PLACES = {
    "VS Code": ("com.microsoft.VSCode", "VSCode"),
    "VS Code Insiders": ("com.microsoft.VSCodeInsiders", "VSCodeInsiders"),
    "VSCodium": ("com.vscodium", "VSCodium"),
}


def policies(editor: Editor, root: Path = ROOT) -> tuple[Path, Mapping[str, object]] | None:
    """The file or key that holds ``editor``'s policies, and the settings that they lock.

    ``None`` where there are none. A remote window's policies are on another machine, and
    code-server has none.
    """
    if editor.name not in _PLACES:
        return None
    bundle, key = _PLACES[editor.name]
    system = platform.system()
    if system == "Linux":
        path = root / _LINUX_FILE
        found = _of_json(path)
    elif system == "Darwin":
        folder = root / _MACOS_FOLDER
        path = folder / f"{bundle}.plist"
        found = {**_of_plist(path), **_of_plist(folder / Path.home().name / path.name)}
    else:
        path, found = Path(f"Software/Policies/Microsoft/{key}"), _of_registry(key)
    locked = {
        s.name: _as(s, found[s.policy]) for s in SETTINGS.values() if s.policy and s.policy in found
    }
    return (path, locked) if locked else None


def _of_json(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_plist(path: Path) -> Mapping[str, object]:
    try:
        found = plistlib.loads(path.read_bytes())
    except (OSError, ValueError, plistlib.InvalidFileException):
        return {}
    return found if isinstance(found, dict) else {}


def _of_registry(key: str) -> Mapping[str, object]:
    """The machine's policies override the user's, as on Windows."""
    if sys.platform != "win32":
        return {}
    import winreg  # noqa: PLC0415  (on Windows only)

    found: dict[str, object] = {}
    for root in (winreg.HKEY_CURRENT_USER, winreg.HKEY_LOCAL_MACHINE):
        try:
            with winreg.OpenKey(root, rf"Software\Policies\Microsoft\{key}") as opened:
                for index in range(winreg.QueryInfoKey(opened)[1]):
                    name, value, _ = winreg.EnumValue(opened, index)
                    found[name] = value
        except OSError:
            continue
    return found


def _as(setting: Setting, value: object) -> object:
    """``value`` in the setting's type: a policy may contain a number, or JSON as a string."""
    if isinstance(setting.default, bool) and isinstance(value, int):
        return bool(value)
    if not isinstance(setting.default, str) or setting.name == ALLOWED_EXTENSIONS:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            return value
    return value
