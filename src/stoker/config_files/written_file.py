"""One configuration file that Stoker wrote values to: what it did, in enough detail to undo it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stoker.config_files import edits, text_file
from stoker.config_files.edits import FileFormat, ValueChange
from stoker.config_files.path_in_file import Keys
from stoker.errors import StokerError

#: What is left of a file that held nothing but Stoker's values.
_EMPTY = ("", "{}", "[]")


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What was done to one file."""

    path: str
    #: A copy of the file before the first change; ``None`` if there was no file.
    backup: str | None
    #: SHA-256 of the file after the last change. While it matches, undoing restores every byte.
    #: ``None`` if the user edited the file between two changes: undoing then edits the file.
    after_sha256: str | None
    changes: Mapping[Keys, ValueChange]
    #: How many of the folders around the file were made for it.
    folders_made: int = 0


def write(
    path: Path,
    form: FileFormat,
    values: Mapping[Keys, object],
    earlier: WrittenFile | None,
    record: Callable[[WrittenFile], None],
    *,
    new_mode: int = 0o644,
) -> None:
    """Sets ``values`` in the file. ``earlier`` is what was done to it before, if anything.

    ``record`` is called before the file is written: an unrecorded change could never be undone. A
    new file gets ``new_mode``. Raises StokerError.
    """
    before = text_file.read(path)
    after, changes = edited(path, form, before, values)
    if earlier is None:
        backup = text_file.back_up(before, path.suffix)
        made = sum(not folder.exists() for folder in path.parents)
        record(WrittenFile(str(path), backup, text_file.sha256(after), changes, made))
    else:
        record(_continued(earlier, before, after, changes))
    if after != before:
        text_file.replace(path, after, new_mode)


def edited(
    path: Path, form: FileFormat, before: str | None, values: Mapping[Keys, object]
) -> tuple[str, dict[Keys, ValueChange]]:
    """As ``edits.edited``, but raises StokerError where the file can't be edited."""
    try:
        return edits.edited(before, form, values)
    except ValueError as error:
        raise _not_editable(path, form, error) from error


def undo(written: WrittenFile, form: FileFormat) -> tuple[tuple[Keys, ...], tuple[Keys, ...]]:
    """The paths whose values were restored, and those that were changed since. Raises StokerError.

    A file that is as Stoker wrote it gets back every byte, or is removed if there was none.
    """
    path = Path(written.path)
    text = text_file.read(path)
    if text is None:
        return (), ()
    untouched = text_file.sha256(text) == written.after_sha256
    if untouched and text_file.restore(path, written.backup):
        if written.backup is None:
            _remove_folders(path, written.folders_made)
        return tuple(written.changes), ()
    try:
        text, restored, kept = edits.taken_back(text, form, written.changes)
    except ValueError as error:
        raise _not_editable(path, form, error) from error
    if written.backup is None and "".join(text.split()) in _EMPTY:
        path.unlink()
        _remove_folders(path, written.folders_made)
    elif restored:
        text_file.replace(path, text)
    return restored, kept


def take_back(written: WrittenFile, form: FileFormat, stale: Collection[Keys]) -> WrittenFile:
    """``written`` without the changes at ``stale``, which are undone in the file."""
    path = Path(written.path)
    text = text_file.read(path)
    if text is None or not stale:
        return written
    untouched = text_file.sha256(text) == written.after_sha256
    undone = {keys: written.changes[keys] for keys in stale}
    try:
        text, _, _ = edits.taken_back(text, form, undone)
    except ValueError as error:
        raise _not_editable(path, form, error) from error
    text_file.replace(path, text)
    left = {keys: change for keys, change in written.changes.items() if keys not in undone}
    after = text_file.sha256(text) if untouched else None
    return replace(written, changes=left, after_sha256=after)


def _remove_folders(path: Path, made: int) -> None:
    """Removes those of the folders that were made for the file and are empty."""
    with contextlib.suppress(OSError):
        for folder in list(path.parents)[:made]:
            folder.rmdir()


def _continued(
    earlier: WrittenFile, before: str | None, after: str, changes: Mapping[Keys, ValueChange]
) -> WrittenFile:
    """``earlier`` with one more change. Undoing restores what was there before Stoker."""
    untouched = before is not None and text_file.sha256(before) == earlier.after_sha256
    merged = dict(earlier.changes)
    for key, change in changes.items():
        known = earlier.changes.get(key)
        is_ours = known is not None and change.had and change.old == known.new
        # A value that the user set between the two changes is the one to restore.
        merged[key] = replace(known, new=change.new) if known and is_ours else change
    return replace(
        earlier, after_sha256=text_file.sha256(after) if untouched else None, changes=merged
    )


def _not_editable(path: Path, form: FileFormat, error: ValueError) -> StokerError:
    """The refusal of a file that is broken, or that can't be edited safely."""
    return StokerError(
        f"The settings file {path} cannot be edited.",
        f"Stoker can't edit it as {form.title}: {error}.",
        "Open it in an editor, correct that line, and run this again.",
    )
