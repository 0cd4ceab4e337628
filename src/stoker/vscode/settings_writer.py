"""Connects an editor to an endpoint, and undoes exactly what was done."""

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
    """One property that was written: what was there (where there was anything), and what is."""

    had: bool
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class EditorConnection:
    """What was done to one settings file: enough to undo it."""

    settings: str
    #: The file as it was before the first change; ``None`` where there was none.
    backup: str | None
    #: SHA-256 of what the last change left: while the file is so, undoing restores every byte.
    #: ``None`` where somebody edited it between two changes: undoing edits it then.
    after_sha256: str | None
    changes: dict[str, SettingChange] = field(default_factory=dict)
    #: The command lines of the editors that got the extension; others had it already.
    installed_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undone:
    """What ``disconnect`` did to one settings file."""

    settings: str
    restored: tuple[str, ...]
    #: Properties that somebody has changed since: they stay as they are.
    kept: tuple[str, ...]
    #: Editors that no longer have the extension, by their command.
    uninstalled: tuple[str, ...]
    #: Editors that were given the extension and can't be run any more.
    gone: tuple[str, ...] = ()
    #: What could not be undone. It stays written down, for the next time.
    problems: tuple[StokerError, ...] = ()


def install(editor: Editor, vsix: Path = VSIX) -> bool:
    """Installs the extension; whether the editor did not have it before. Raises StokerError."""
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

    The settings are the user's, or those of the folder ``workspace``; what has to stand in the
    user's is written there all the same. ``consents`` are what else the person agreed to. One
    connection for each file that was written. Raises StokerError.
    """
    files = _by_file(editor, endpoint, workspace, consents)
    # A file that cannot be edited must stop us before anything is installed.
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
    """The settings file to write ``setting`` to; ``None`` where no file here would do.

    What counts in the user's settings alone is ignored in a folder's and in a remote machine's.
    """
    if setting.scope == "application":
        return editor.application_settings
    if setting.scope == "user":
        return None if editor.is_remote else editor.settings
    return editor.settings if workspace is None else workspace / ".vscode/settings.json"


def connections() -> tuple[EditorConnection, ...]:
    """What has been connected on this machine and not been undone."""
    try:
        entries = json.loads(_journal().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(_connection(entry) for entry in entries)


def disconnect() -> tuple[Undone, ...]:
    """Undoes every connection: settings as they were, the extension gone where we put it.

    What a person has written since stays. One that can't be undone holds up none of the others.
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
    """The settings of ``consent`` that could be written here and don't stand there yet."""
    left = []
    for setting in vscode_settings.of(consent):
        path = place(editor, setting, workspace)
        if path is not None and _value(path, setting.name) != setting.value:
            left.append(setting)
    return tuple(left)


def _value(path: Path, name: str) -> object:
    """What a settings file says; ``None`` where it says nothing, or can't be read."""
    try:
        return jsonc.get(_read(path) or "", name)
    except (StokerError, ValueError):
        return None


def _by_file(
    editor: Editor, endpoint: str, workspace: Path | None, consents: Collection[Consent]
) -> dict[Path, dict[str, object]]:
    """What to write to which file; the file that names the endpoint comes first."""
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
    # Earlier versions wrote down one command and not a list.
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
    _remember(connection)  # first: what is not written down could never be undone
    _replace(path, after)
    return connection


def _continued(
    earlier: EditorConnection,
    before: str | None,
    after: str,
    changes: dict[str, SettingChange],
    installed_with: tuple[str, ...],
) -> EditorConnection:
    """``earlier`` with one more change. What its owner had is what was there before Stoker."""
    untouched = before is not None and _sha256(before) == earlier.after_sha256
    merged = dict(earlier.changes)
    for key, change in changes.items():
        known = earlier.changes.get(key)
        is_ours = known is not None and change.had and change.old == known.new
        # A value that somebody wrote between the two changes is what they want to have back.
        merged[key] = replace(known, new=change.new) if known and is_ours else change
    others = tuple(c for c in installed_with if c not in earlier.installed_with)
    return replace(
        earlier,
        after_sha256=_sha256(after) if untouched else None,
        changes=merged,
        installed_with=(*earlier.installed_with, *others),
    )


def _refuse_read_only(path: Path, values: dict[str, object]) -> None:
    """Raises StokerError where ``path`` is not to be written: it could be, by replacing the file,
    but a person or a tool (Nix, chezmoi) has said otherwise.
    """
    target = path.resolve()
    there = next((each for each in (target, *target.parents) if each.exists()), target)
    kept = there == target and not there.stat().st_mode & stat.S_IWUSR
    folder = there.parent if there == target else there
    if kept or not folder.is_dir() or not os.access(folder, os.W_OK):
        lines = ", ".join(f'"{name}": {json.dumps(value)}' for name, value in values.items())
        raise StokerError(
            f"The settings file {path} is read-only.",
            f"{'It' if kept else folder} can't be written by you; a tool may look after it.",
            f"Write there yourself, or by that tool: {lines}",
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
    """What was undone, and what is left to undo where not all of it could be."""
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
    """The properties that are as they were again, and those that somebody has changed since."""
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
    """Puts the whole file back, or takes it away where there was none. False: no backup left."""
    if backup is None:
        path.unlink()
        return True
    before = _read(Path(backup))
    if before is not None:
        _replace(path, before)
    return before is not None


def _words(command: str) -> tuple[str, ...]:
    """The words of a command line. Earlier versions wrote a bare path down, blanks and all."""
    return (command,) if Path(command).exists() else tuple(shlex.split(command))


def _uninstall(command: Sequence[str]) -> None:
    """Takes the extension out of an editor, where its owner has not done so. Raises StokerError."""
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
            "See that it is yours and UTF-8 text, and run this again.",
        ) from error


def _decode(data: bytes) -> str:
    """Text with its own line ends and byte order mark, so that writing it gives the same bytes."""
    return data.decode("utf-8")


def _replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes the file whole or not at all. A link (dotfiles) stays a link.

    A file that is there keeps its mode; a new one gets ``mode``. Raises StokerError.
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
            "See that its folder is yours and the disk is not full, and run this again.",
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
