"""Connects a client to an endpoint, and undoes exactly that."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stoker import paths
from stoker.clients.client import Client, ConfigFile, Connection, Places
from stoker.config_files import (
    FormatName,
    Keys,
    ValueChange,
    WrittenFile,
    file_format,
    path_in_file,
    text_file,
    written_file,
)
from stoker.errors import StokerError

#: Files of agents hold keys of other services: only their owner may read a new one.
_NEW_MODE = 0o600


@dataclass(frozen=True, slots=True)
class ConnectedFile:
    """A file that was written for a client."""

    client: str
    endpoint: str
    model: str
    format: FormatName
    written: WrittenFile


@dataclass(frozen=True, slots=True)
class UndoneFile:
    """What undoing did to one file; ``problem`` is why it could not be undone."""

    client: str
    path: str
    restored: tuple[str, ...] = ()
    #: Values that were changed since, and stay as they are.
    kept: tuple[str, ...] = ()
    problem: StokerError | None = None


def connect(client: Client, to: Connection, places: Places) -> tuple[ConnectedFile, ...]:
    """Writes the settings of ``client``: to all of its files, or to none. Raises StokerError."""
    files = client.files(places, to)
    for file in files:
        check(file)
    return tuple(_connect_file(client, to, file) for file in files)


def check(file: ConfigFile) -> None:
    """Raises StokerError where ``file`` can't be written without harm."""
    lines = as_new_file(file).strip()
    text_file.refuse_foreign(file.path, f"\n{lines}")
    text_file.refuse_read_only(file.path, f"\n{lines}")
    before = text_file.read(file.path)
    written_file.edited(file.path, file_format(file.format), before, _values(file, before))


def as_new_file(file: ConfigFile) -> str:
    """The settings as they would stand in a file without others."""
    text = ""
    for keys, value in {**file.required, **file.values}.items():
        text = file_format(file.format).put(text, keys, value)
    return text


def disconnect(client: Client) -> tuple[UndoneFile, ...]:
    """Undoes what ``connect`` did for ``client``. Later changes by the user stay.

    A file that can't be undone does not stop the others; it stays recorded for the next attempt.
    """
    undone: list[UndoneFile] = []
    # The last first: a folder that was made for the first file is then empty.
    for file in reversed(connected_files()):
        if file.client == client.name:
            undone.append(_undo(client, file))
    failed = {each.path for each in undone if each.problem is not None}
    left = [f for f in connected_files() if f.client != client.name or f.written.path in failed]
    _write_journal(left)
    return tuple(undone)


def connected_files() -> tuple[ConnectedFile, ...]:
    """The files on this machine that were written for clients and not undone."""
    try:
        entries = json.loads(_journal().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    return tuple(_from_entry(entry) for entry in entries)


def _connect_file(client: Client, to: Connection, file: ConfigFile) -> ConnectedFile:
    form = file_format(file.format)
    earlier = next((f.written for f in connected_files() if f.written.path == str(file.path)), None)
    if earlier is not None:
        # What an earlier connection set and this one does not, such as a key.
        stale = earlier.changes.keys() - file.values.keys() - file.required.keys()
        earlier = written_file.take_back(earlier, form, stale)
    done: list[ConnectedFile] = []

    def record(written: WrittenFile) -> None:
        done.append(ConnectedFile(client.name, to.endpoint, to.model, file.format, written))
        others = [f for f in connected_files() if f.written.path != written.path]
        _write_journal([*others, *done])

    values = _values(file, text_file.read(file.path))
    written_file.write(file.path, form, values, earlier, record, new_mode=_NEW_MODE)
    return done[0]


def _values(file: ConfigFile, text: str | None) -> Mapping[Keys, object]:
    """What to set: what the client requires only where it is missing."""
    try:
        there = file_format(file.format).values(text or "")
    except ValueError:
        return file.values  # editing it fails with the same error
    missing = {k: v for k, v in file.required.items() if not path_in_file.has(there, k)}
    return {**missing, **file.values}


def _undo(client: Client, file: ConnectedFile) -> UndoneFile:
    try:
        path = Path(file.written.path)
        text_file.refuse_foreign(path, f"stoker connect {file.client} --print shows the values")
        restored, kept = written_file.undo(_as_found(client, file), file_format(file.format))
    except StokerError as error:
        return UndoneFile(file.client, file.written.path, problem=error)
    return UndoneFile(file.client, file.written.path, _words(restored), _words(kept))


def _as_found(client: Client, file: ConnectedFile) -> WrittenFile:
    """What was written, with the present values of what the client itself writes again."""
    text = text_file.read(Path(file.written.path)) or ""
    changes = dict(file.written.changes)
    with contextlib.suppress(ValueError):  # undoing fails with the same error
        there = file_format(file.format).values(text)
        for keys in client.rewrites:
            if keys in changes and path_in_file.has(there, keys):
                changes[keys] = replace(changes[keys], new=path_in_file.get(there, keys))
    return replace(file.written, changes=changes)


def _words(keys: Sequence[Keys]) -> tuple[str, ...]:
    return tuple(path_in_file.words(each) for each in keys)


def _journal() -> Path:
    return paths.state_dir() / "clients.json"


def _write_journal(files: Sequence[ConnectedFile]) -> None:
    if not files:
        _journal().unlink(missing_ok=True)
        return
    entries = [_to_entry(file) for file in files]
    text_file.replace(_journal(), json.dumps(entries, indent=2), mode=0o600)


def _to_entry(file: ConnectedFile) -> dict[str, Any]:
    changes = [{"keys": k, **asdict(c)} for k, c in file.written.changes.items()]
    written = {
        "path": file.written.path,
        "backup": file.written.backup,
        "after_sha256": file.written.after_sha256,
        "changes": changes,
        "folders_made": file.written.folders_made,
    }
    named = {"client": file.client, "endpoint": file.endpoint, "model": file.model}
    return {**named, "format": file.format, "written": written}


def _from_entry(entry: dict[str, Any]) -> ConnectedFile:
    written = entry["written"]
    changes = {_keys(c.pop("keys")): ValueChange(**c) for c in written["changes"]}
    return ConnectedFile(**{**entry, "written": WrittenFile(**{**written, "changes": changes})})


def _keys(stored: Sequence[Any]) -> Keys:
    return tuple(step if isinstance(step, str) else (step[0], step[1]) for step in stored)
