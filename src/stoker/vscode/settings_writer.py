"""Connects an editor to an endpoint, and undoes exactly that."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stoker import paths
from stoker.config_files import (
    Keys,
    ValueChange,
    WrittenFile,
    file_format,
    jsonc,
    text_file,
    written_file,
)
from stoker.errors import StokerError
from stoker.vscode import vscode_settings
from stoker.vscode.installed_editors import Editor
from stoker.vscode.vscode_settings import ENDPOINT, Consent, Setting
from stoker.vscode.vsix import VSIX

#: The extension as VS Code names it: publisher and name.
EXTENSION_ID = "stoker.stoker"
_INSTALL_TIMEOUT_S = 180
_FORMAT = file_format("json")


@dataclass(frozen=True, slots=True)
class EditorConnection:
    """What was done to one settings file, in enough detail to undo it."""

    settings: str
    #: A copy of the file before the first change; ``None`` if there was no file.
    backup: str | None
    #: SHA-256 of the file after the last change. While it matches, undoing restores every byte.
    #: ``None`` if the user edited the file between two changes: undoing then edits the file.
    after_sha256: str | None
    changes: dict[str, ValueChange] = field(default_factory=dict)
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
        text_file.refuse_read_only(path, _lines(values))
        written_file.edited(path, _FORMAT, text_file.read(path), _by_path(values))
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
        return jsonc.get(text_file.read(path) or "", name)
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
    changes = {key: ValueChange(**change) for key, change in entry["changes"].items()}
    commands = entry["installed_with"] or ()
    # Earlier versions recorded one command instead of a list.
    commands = (commands,) if isinstance(commands, str) else tuple(commands)
    return EditorConnection(**{**entry, "changes": changes, "installed_with": commands})


def _write_settings(
    path: Path, values: dict[str, object], installed_with: tuple[str, ...]
) -> EditorConnection:
    earlier = next((_file(c) for c in connections() if c.settings == str(path)), None)
    written: list[EditorConnection] = []
    written_file.write(
        path,
        _FORMAT,
        _by_path(values),
        earlier,
        lambda done: written.append(_record(done, installed_with)),
    )
    return written[0]


def _by_path(values: dict[str, object]) -> dict[Keys, object]:
    """A setting's name is one key, dots included."""
    return {(name,): value for name, value in values.items()}


def _lines(values: dict[str, object]) -> str:
    return ", ".join(f'"{name}": {json.dumps(value)}' for name, value in values.items())


def _record(written: WrittenFile, installed_with: tuple[str, ...]) -> EditorConnection:
    """Remembers a file that is about to be written."""
    earlier = next((c for c in connections() if c.settings == written.path), None)
    known = () if earlier is None else earlier.installed_with
    connection = EditorConnection(
        written.path,
        written.backup,
        written.after_sha256,
        {str(key): change for (key,), change in written.changes.items()},
        (*known, *(c for c in installed_with if c not in known)),
    )
    _remember(connection)
    return connection


def _file(connection: EditorConnection) -> WrittenFile:
    changes: dict[Keys, ValueChange] = {(k,): change for k, change in connection.changes.items()}
    return WrittenFile(connection.settings, connection.backup, connection.after_sha256, changes)


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
    restored, kept = written_file.undo(_file(connection), _FORMAT)
    return tuple(str(key) for (key,) in restored), tuple(str(key) for (key,) in kept)


def _words(command: str) -> tuple[str, ...]:
    """The words of a command line. Earlier versions recorded a bare path, spaces included."""
    return (command,) if Path(command).exists() else tuple(shlex.split(command))


def _uninstall(command: Sequence[str]) -> None:
    """Removes the extension from an editor that still has it. Raises StokerError."""
    if EXTENSION_ID in _run(command, "--list-extensions").split():
        _run(command, "--uninstall-extension", EXTENSION_ID)


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
    text_file.replace(journal, json.dumps([asdict(each) for each in left], indent=2), mode=0o600)


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
