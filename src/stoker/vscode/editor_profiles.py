"""VS Code's profiles: which ones an editor has, and which one a folder opens in.

A profile has its own settings and extensions, unless it shares the default profile's. VS Code on
the desktop lists its profiles in ``User/globalStorage/storage.json``. code-server keeps the list in
the browser, where Stoker can't read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from stoker.vscode.installed_editors import Editor


def profiles(editor: Editor) -> tuple[Editor, ...]:
    """``editor`` in each of its other profiles that has its own settings."""
    stored = _stored(editor).get("userDataProfiles")
    listed = (_profile(editor, entry) for entry in stored) if isinstance(stored, list) else ()
    found = (each for each in listed if each is not None)
    return tuple(each for each in found if each.settings != editor.settings)


def in_folder(editor: Editor, folder: Path) -> Editor:
    """``editor`` in the profile that ``folder`` opens in; unchanged if that is the default."""
    stored = _stored(editor)
    associations = stored.get("profileAssociations")
    of_folders = associations.get("workspaces") if isinstance(associations, dict) else None
    listed = stored.get("userDataProfiles")
    if not isinstance(of_folders, dict) or not isinstance(listed, list):
        return editor
    ids = {_path(uri): profile for uri, profile in of_folders.items()}
    wanted = next((ids[each] for each in (folder, *folder.parents) if each in ids), None)
    named = (_profile(editor, entry) for entry in listed if _id(entry) == wanted)
    return next((each for each in named if each is not None), editor)


def _stored(editor: Editor) -> Mapping[str, Any]:
    """What the editor stored about its windows and profiles; empty if unreadable."""
    path = editor.settings.parent / "globalStorage/storage.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _profile(editor: Editor, entry: object) -> Editor | None:
    """``None`` for an entry that is not a user's profile: VS Code has its own (``builtin/``)."""
    profile_id = _id(entry)
    if not isinstance(entry, dict) or not entry.get("name") or profile_id in (None, "", "agents"):
        return None
    shared = entry.get("useDefaultFlags")
    shares = isinstance(shared, dict) and bool(shared.get("settings"))
    own = editor.settings.parent / "profiles" / str(profile_id) / "settings.json"
    settings = editor.settings if shares else own
    return replace(
        editor,
        settings=settings,
        profile=str(entry["name"]),
        default_settings=editor.settings,
    )


def _id(entry: object) -> str | None:
    """The last part of a profile's location, which is a string or a parsed URI."""
    location = entry.get("location") if isinstance(entry, dict) else None
    if isinstance(location, dict):
        location = location.get("path")
    return location.rpartition("/")[2] if isinstance(location, str) else None


def _path(uri: str) -> Path:
    return Path(unquote(urlsplit(uri).path))
