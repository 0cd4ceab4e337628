"""Connects an editor to an endpoint, and undoes exactly that."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stoker import paths
from stoker.errors import StokerError
from stoker.vscode import jsonc, vscode_settings
from stoker.vscode.installed_editors import Editor
from stoker.vscode.vscode_settings import ENDPOINT, Consent, Setting
from stoker.vscode.vsix import VSIX

EXTENSION_ID = "stoker.stoker"
_INSTALL_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One property that was written: its value before, if ``had``, and its new value."""

    had: bool
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class EditorConnection:
    """What was done to one settings file, in enough detail to undo it."""

    settings: str
    #: A copy of the file before the first change; ``None`` if there was no file.
    backup: str | None
    #: SHA-256 of the file after the last change. While it matches, undoing restores every byte.
    #: ``None`` if the user edited the file between two changes: undoing then edits the file.
    after_sha256: str | None
    changes: dict[str, SettingChange] = field(default_factory=dict)
    #: The command lines of the editors that Stoker installed the extension in.
    installed_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undone:
    """What ``disconnect`` did to one settings file."""

    settings: str
    restored: tuple[str, ...]
    #: Properties that were changed since, and stay as they are.
    kept: tuple[str, ...]
    #: The commands of the editors that the extension was removed from.
    uninstalled: tuple[str, ...]
    #: The commands of editors that had the extension and no longer exist.
    gone: tuple[str, ...] = ()
    #: What could not be undone. It stays recorded, for the next attempt.
    problems: tuple[StokerError, ...] = ()


def install(editor: Editor, vsix: Path = VSIX) -> bool:
    """Installs the extension. Returns whether it was missing before. Raises StokerError."""
    had = EXTENSION_ID in _run(editor.command_line, "--list-extensions").split()
    _run(editor.command_line, "--install-extension", str(vsix), "--force")
    return not had


def connect(
    editor: Editor,
    endpoint: str,
    *,
    workspace: Path | None = None,
    consents: Collection[Consent] = (),
) -> tuple[EditorConnection, ...]:
    """Installs the extension in ``editor`` and names ``endpoint`` in its settings.

    The settings are the user's, or those of the folder ``workspace``; settings that apply only in
    the user's are written there in both cases. ``consents`` are what else the user agreed to.
    Returns one connection for each file that was written. Raises StokerError.
    """
    files = _by_file(editor, endpoint, workspace, consents)
    # A file that can't be edited must fail before anything is installed.
    for path, values in files.items():
        _refuse_read_only(path, values)
        _edited(path, _read(path), values)
    installed = (shlex.join(editor.command_line),) if install(editor) else ()
    written = []
    for path, values in files.items():
        written.append(_write_settings(path, values, installed))
        installed = ()
    return tuple(written)


def place(editor: Editor, setting: Setting, workspace: Path | None = None) -> Path | None:
    """The settings file to write ``setting`` to; ``None`` if no file on this machine applies.

    Folders' and remote machines' settings can't set what applies in the user's settings only.
    """
    if setting.scope == "application":
        return editor.application_settings
    if setting.scope == "user":
        return None if editor.is_remote else editor.settings
    return editor.settings if workspace is None else workspace / ".vscode/settings.json"


def connections() -> tuple[EditorConnection, ...]:
    """The connections on this machine that were not undone."""
    try:
        entries = json.loads(_journal().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(_connection(entry) for entry in entries)


def disconnect() -> tuple[Undone, ...]:
    """Undoes every connection: restores the settings and removes the extension that it installed.

    Later edits by the user stay. A connection that can't be undone does not stop the others.
    """
    undone: list[Undone] = []
    left: list[EditorConnection] = []
    for connection in connections():
        done, rest = _undo(connection)
        undone.append(done)
        if rest is not None:
            left.append(rest)
    _write_journal(left)
    return tuple(undone)


def missing(editor: Editor, consent: Consent, workspace: Path | None = None) -> tuple[Setting, ...]:
    """The settings of ``consent`` that can be written and do not have their value yet."""
    left = []
    for setting in vscode_settings.of(consent):
        path = place(editor, setting, workspace)
        if path is not None and _value(path, setting.name) != setting.value:
            left.append(setting)
    return tuple(left)


def _value(path: Path, name: str) -> object:
    """The value in a settings file; ``None`` if it has none or can't be read."""
    try:
        return jsonc.get(_read(path) or "", name)
    except (StokerError, ValueError):
        return None


def _by_file(
    editor: Editor, endpoint: str, workspace: Path | None, consents: Collection[Consent]
) -> dict[Path, dict[str, object]]:
    """File -> the settings to write to it, the file of the endpoint first."""
    files: dict[Path, dict[str, object]] = {}
    for consent in ("endpoint", *consents):
        for setting in vscode_settings.of(consent):
            path = place(editor, setting, workspace)
            value = endpoint if setting.name == ENDPOINT else setting.value
            if path is not None:
                files.setdefault(path, {})[setting.name] = value
    return files


def _connection(entry: dict[str, Any]) -> EditorConnection:
    changes = {key: SettingChange(**change) for key, change in entry["changes"].items()}
    commands = entry["installed_with"] or ()
    # Earlier versions recorded one command instead of a list.
    commands = (commands,) if isinstance(commands, str) else tuple(commands)
    return EditorConnection(**{**entry, "changes": changes, "installed_with": commands})


def _write_settings(
    path: Path, values: dict[str, object], installed_with: tuple[str, ...]
) -> EditorConnection:
    before = _read(path)
    after = _edited(path, before, values)
    changes = {
        key: SettingChange(
            had=jsonc.has(before or "", key), old=jsonc.get(before or "", key), new=value
        )
        for key, value in values.items()
    }
    earlier = next((c for c in connections() if c.settings == str(path)), None)
    if earlier is None:
        connection = EditorConnection(
            str(path), _back_up(before), _sha256(after), changes, installed_with
        )
    else:
        connection = _continued(earlier, before, after, changes, installed_with)
    _remember(connection)  # first: an unrecorded change could never be undone
    _replace(path, after)
    return connection


def _continued(
    earlier: EditorConnection,
    before: str | None,
    after: str,
    changes: dict[str, SettingChange],
    installed_with: tuple[str, ...],
) -> EditorConnection:
    """``earlier`` with one more change. Undoing restores what was there before Stoker."""
    untouched = before is not None and _sha256(before) == earlier.after_sha256
    merged = dict(earlier.changes)
    for key, change in changes.items():
        known = earlier.changes.get(key)
        is_ours = known is not None and change.had and change.old == known.new
        # A value that the user set between the two changes is the one to restore.
        merged[key] = replace(known, new=change.new) if known and is_ours else change
    others = tuple(c for c in installed_with if c not in earlier.installed_with)
    return replace(
        earlier,
        after_sha256=_sha256(after) if untouched else None,
        changes=merged,
        installed_with=(*earlier.installed_with, *others),
    )


def _refuse_read_only(path: Path, values: dict[str, object]) -> None:
    """Raises StokerError if ``path`` is read-only.

    Stoker could replace the file, but its owner or a tool (Nix, chezmoi) has protected it.
    """
    target = path.resolve()
    there = next((each for each in (target, *target.parents) if each.exists()), target)
    kept = there == target and not there.stat().st_mode & stat.S_IWUSR
    folder = there.parent if there == target else there
    if kept or not folder.is_dir() or not os.access(folder, os.W_OK):
        protected = "it" if kept else f"to {folder}"
        lines = ", ".join(f'"{name}": {json.dumps(value)}' for name, value in values.items())
        raise StokerError(
            f"The settings file {path} is read-only.",
            f"You have no permission to write {protected}; a tool may manage it.",
            f"Set it yourself, or in that tool: {lines}",
        )


def _edited(path: Path, before: str | None, values: dict[str, object]) -> str:
    text = before or ""
    try:
        for key, value in values.items():
            text = jsonc.put(text, key, value)
    except ValueError as error:
        raise _not_editable(path, error) from error
    return text


def _not_editable(path: Path, error: ValueError) -> StokerError:
    return StokerError(
        f"The settings file {path} cannot be edited.",
        f"It is not JSON with comments: {error}.",
        "Open it in the editor, correct what is underlined, and run this again.",
    )


def _undo(connection: EditorConnection) -> tuple[Undone, EditorConnection | None]:
    """What was undone, and the rest of the connection where something could not be."""
    restored: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    problems: list[StokerError] = []
    left = replace(connection, installed_with=())
    try:
        restored, kept = _undo_settings(connection)
        left = replace(left, changes={}, after_sha256=None)
    except StokerError as error:
        problems.append(error)
    uninstalled: list[str] = []
    gone = tuple(c for c in connection.installed_with if not Path(_words(c)[0]).exists())
    for command in connection.installed_with:
        if command in gone:
            continue
        try:
            _uninstall(_words(command))
            uninstalled.append(command)
        except StokerError as error:
            problems.append(error)
            left = replace(left, installed_with=(*left.installed_with, command))
    undone = Undone(connection.settings, restored, kept, tuple(uninstalled), gone, tuple(problems))
    return undone, left if problems else None


def _undo_settings(connection: EditorConnection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The properties that were restored, and those that were changed since."""
    path = Path(connection.settings)
    text = _read(path)
    if text is None:
        return (), ()
    if _sha256(text) == connection.after_sha256 and _restore(path, connection.backup):
        return tuple(connection.changes), ()
    restored: list[str] = []
    kept: list[str] = []
    try:
        for key, change in connection.changes.items():
            if jsonc.get(text, key) != change.new:
                kept.append(key)
                continue
            text = jsonc.put(text, key, change.old) if change.had else jsonc.drop(text, key)
            restored.append(key)
    except ValueError as error:
        raise _not_editable(path, error) from error
    if restored:
        _replace(path, text)
    return tuple(restored), tuple(kept)


def _restore(path: Path, backup: str | None) -> bool:
    """Restores the whole file, or removes it if there was none. False if the backup is gone."""
    if backup is None:
        path.unlink()
        return True
    before = _read(Path(backup))
    if before is not None:
        _replace(path, before)
    return before is not None


def _words(command: str) -> tuple[str, ...]:
    """The words of a command line. Earlier versions recorded a bare path, spaces included."""
    return (command,) if Path(command).exists() else tuple(shlex.split(command))


def _uninstall(command: Sequence[str]) -> None:
    """Removes the extension from an editor that still has it. Raises StokerError."""
    if EXTENSION_ID in _run(command, "--list-extensions").split():
        _run(command, "--uninstall-extension", EXTENSION_ID)


def _read(path: Path) -> str | None:
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StokerError(
            f"The file {path} cannot be read.",
            f"{error}.",
            "Check that you own the file and that it is UTF-8, then run this again.",
        ) from error


def _decode(data: bytes) -> str:
    """The text with its line ends and byte order mark, so that writing it gives the same bytes."""
    return data.decode("utf-8")


def _replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes the whole file or nothing. A symbolic link stays a link.

    An existing file keeps its mode; a new one gets ``mode``. Raises StokerError.
    """
    target = path.resolve()
    fresh = target.with_name(f".{target.name}.stoker-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else mode
        fresh.write_bytes(text.encode("utf-8"))
        fresh.chmod(mode)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise StokerError(
            f"The file {path} cannot be written.",
            f"{error}.",
            "Check that you own its folder and that the disk is not full, then run this again.",
        ) from error


def _back_up(before: str | None) -> str | None:
    if before is None:
        return None
    folder = paths.state_dir() / "settings-backups"
    folder.mkdir(parents=True, exist_ok=True)
    backup = folder / f"settings-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns()}.json"
    backup.write_bytes(before.encode("utf-8"))
    backup.chmod(0o600)
    return str(backup)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _journal() -> Path:
    return paths.state_dir() / "connections.json"


def _remember(connection: EditorConnection) -> None:
    others = [c for c in connections() if c.settings != connection.settings]
    _write_journal([*others, connection])


def _write_journal(left: list[EditorConnection]) -> None:
    journal = _journal()
    if not left:
        journal.unlink(missing_ok=True)
        return
    _replace(journal, json.dumps([asdict(each) for each in left], indent=2), mode=0o600)


def _run(command: Sequence[str], *arguments: str) -> str:
    try:
        done = subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StokerError(
            f"{command[0]} could not be run.",
            str(error),
            "Start the editor once by hand, then run this again.",
        ) from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise StokerError(
            f"{command[0]} {arguments[0]} failed with exit code {done.returncode}.",
            last,
            "Close the editor's other windows, then run this again.",
        )
    return done.stdout
