"""Connects an editor to an endpoint, and undoes exactly what was done."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from stoker import paths
from stoker.editor import jsonc
from stoker.editor.find import Editor
from stoker.editor.vsix import VSIX
from stoker.errors import StokerError

ENDPOINT = "huggingface.customTGIEndpoint"
#: Chat titles and summaries come from the chosen model too, and not from a hosted one.
UTILITY_MODEL = "chat.byokUtilityModelDefault"
EXTENSION_ID = "stoker.stoker"
_INSTALL_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True)
class Change:
    """One property that was written: what was there (where there was anything), and what is."""

    had: bool
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class Connection:
    """What was done to one settings file: enough to undo it."""

    settings: str
    #: The file as it was before the first change; ``None`` where there was none.
    backup: str | None
    #: SHA-256 of what the last change left. While it is still so, undoing restores every byte.
    after_sha256: str
    changes: dict[str, Change] = field(default_factory=dict)
    #: The command of the editor that got the extension; ``None`` where it had it already.
    installed_with: str | None = None


@dataclass(frozen=True, slots=True)
class Undone:
    """What ``disconnect`` did to one settings file."""

    settings: str
    restored: tuple[str, ...]
    #: Properties that somebody has changed since: they stay as they are.
    kept: tuple[str, ...]
    uninstalled: bool


def install(editor: Editor, vsix: Path = VSIX) -> bool:
    """Installs the extension; whether the editor did not have it before. Raises StokerError."""
    had = EXTENSION_ID in _run(editor.command, "--list-extensions").split()
    _run(editor.command, "--install-extension", str(vsix), "--force")
    return not had


def connect(
    editor: Editor,
    endpoint: str,
    *,
    workspace: Path | None = None,
    utility_model: bool = False,
) -> Connection:
    """Installs the extension in ``editor`` and names ``endpoint`` in its settings.

    The settings are the user's, or those of the folder ``workspace``. ``utility_model`` also
    makes the chosen model write titles and summaries. Raises StokerError.
    """
    path = editor.settings if workspace is None else workspace / ".vscode/settings.json"
    values: dict[str, object] = {ENDPOINT: endpoint}
    if utility_model:
        values[UTILITY_MODEL] = "mainAgent"
    # A file that cannot be edited must stop us before anything is installed.
    _edited(path, _read(path), values)
    is_new = install(editor)
    connection = _write_settings(path, values)
    if is_new:
        connection = replace(connection, installed_with=str(editor.command))
    _remember(connection)
    return connection


def connections() -> tuple[Connection, ...]:
    """What has been connected on this machine and not been undone."""
    try:
        entries = json.loads(_journal().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(
        Connection(**{**entry, "changes": {k: Change(**v) for k, v in entry["changes"].items()}})
        for entry in entries
    )


def disconnect() -> tuple[Undone, ...]:
    """Undoes every connection: settings as they were, the extension gone where we put it."""
    undone = tuple(_undo(connection) for connection in connections())
    _journal().unlink(missing_ok=True)
    return undone


def _write_settings(path: Path, values: dict[str, object]) -> Connection:
    before = _read(path)
    earlier = next((c for c in connections() if c.settings == str(path)), None)
    changes = {
        key: Change(had=jsonc.has(before or "", key), old=jsonc.get(before or "", key), new=value)
        for key, value in values.items()
    }
    after = _edited(path, before, values)
    if earlier is None:
        connection = Connection(str(path), _back_up(before), _sha256(after), changes)
    else:
        # The first backup and the first old values are what its owner had.
        first = {
            key: replace(change, had=known.had, old=known.old) if known else change
            for key, change in changes.items()
            for known in [earlier.changes.get(key)]
        }
        connection = replace(
            earlier, after_sha256=_sha256(after), changes={**earlier.changes, **first}
        )
    _replace(path, after)
    return connection


def _edited(path: Path, before: str | None, values: dict[str, object]) -> str:
    text = before or ""
    try:
        for key, value in values.items():
            text = jsonc.put(text, key, value)
    except jsonc.JsoncError as error:
        raise StokerError(
            f"The settings file {path} cannot be edited.",
            f"It is not JSON with comments: {error}.",
            "Open it in the editor, correct what is underlined, and run this again.",
        ) from error
    return text


def _undo(connection: Connection) -> Undone:
    path = Path(connection.settings)
    text = _read(path)
    restored: list[str] = []
    kept: list[str] = []
    if text is not None and _sha256(text) == connection.after_sha256:
        _restore_backup(path, connection.backup)
        restored = list(connection.changes)
    elif text is not None:
        for key, change in connection.changes.items():
            if jsonc.get(text, key) != change.new:
                kept.append(key)
                continue
            text = jsonc.put(text, key, change.old) if change.had else jsonc.drop(text, key)
            restored.append(key)
        _replace(path, text)
    uninstalled = connection.installed_with is not None
    if connection.installed_with:
        _run(Path(connection.installed_with), "--uninstall-extension", EXTENSION_ID)
    return Undone(connection.settings, tuple(restored), tuple(kept), uninstalled)


def _restore_backup(path: Path, backup: str | None) -> None:
    if backup is None:
        path.unlink(missing_ok=True)
    else:
        _replace(path, _decode(Path(backup).read_bytes()))


def _read(path: Path) -> str | None:
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return None


def _decode(data: bytes) -> str:
    """Text with its own line ends and byte order mark, so that writing it gives the same bytes."""
    return data.decode("utf-8")


def _replace(path: Path, text: str) -> None:
    """Writes the file whole or not at all. A link (dotfiles) stays a link."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
    fresh = target.with_name(f".{target.name}.stoker-{os.getpid()}")
    fresh.write_bytes(text.encode("utf-8"))
    fresh.chmod(mode)
    fresh.replace(target)


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


def _remember(connection: Connection) -> None:
    others = [c for c in connections() if c.settings != connection.settings]
    entries = [asdict(c) for c in (*others, connection)]
    journal = _journal()
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.write_text(json.dumps(entries, indent=2), encoding="utf-8")
    journal.chmod(0o600)


def _run(command: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            [str(command), *arguments],
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StokerError(
            f"{command} could not be run.",
            str(error),
            "Start the editor once by hand, then run this again.",
        ) from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise StokerError(
            f"{command} {arguments[0]} failed with exit code {done.returncode}.",
            last,
            "Close the editor's other windows, then run this again.",
        )
    return done.stdout
