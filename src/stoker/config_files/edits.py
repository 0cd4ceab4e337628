"""Sets values in the text of a configuration file, and takes them back."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stoker.config_files import path_in_file
from stoker.config_files.path_in_file import Keys

#: The formats of files that can be edited.
FormatName = Literal["json", "toml", "yaml", "env"]


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How files of one format are read and edited. All three raise ValueError."""

    #: For messages: what a broken file is not.
    title: str
    values: Callable[[str], Any]
    put: Callable[[str, Keys, object], str]
    drop: Callable[[str, Keys], str]


#: The title and the module of each format.
_MODULES: Mapping[FormatName, tuple[str, str]] = {
    "json": ("JSON with comments", "jsonc"),
    "toml": ("TOML", "toml_text"),
    "yaml": ("YAML", "yaml_text"),
    "env": ("a list of NAME=value lines", "dotenv"),
}


def file_format(name: FormatName) -> FileFormat:
    """The format, imported now: the parsers of some take time that other commands don't have."""
    title, module = _MODULES[name]
    found = importlib.import_module(f"{__package__}.{module}")
    return FileFormat(title, found.values, found.put, found.drop)


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value that was written: its value before, if ``had``, and its new value."""

    had: bool
    old: object
    new: object
    #: How many of the objects and lists around it were made for it.
    parents_made: int = 0


def edited(
    text: str | None, form: FileFormat, values: Mapping[Keys, object]
) -> tuple[str, dict[Keys, ValueChange]]:
    """``text`` with ``values``, and what changed. Everything else keeps its value.

    Raises ValueError where the text is not of this format, or is written in a way that can't be
    edited without changing something else.
    """
    text = text or ""
    changes: dict[Keys, ValueChange] = {}
    expected = form.values(text)
    for path, value in values.items():
        had = path_in_file.has(expected, path)
        changes[path] = ValueChange(
            had,
            path_in_file.get(expected, path) if had else None,
            value,
            path_in_file.missing_parents(expected, path),
        )
        if had and changes[path].old == value:
            continue
        expected = path_in_file.put(expected, path, value)
        text = form.put(text, path, value)
    if not _holds(text, form, expected):
        raise ValueError("its layout can't be kept when a value is added")
    return text, changes


def taken_back(
    text: str, form: FileFormat, changes: Mapping[Keys, ValueChange]
) -> tuple[str, tuple[Keys, ...], tuple[Keys, ...]]:
    """``text`` without ``changes``, the paths restored, and those that were changed since.

    Raises ValueError as ``edited`` does.
    """
    restored: list[Keys] = []
    kept: list[Keys] = []
    for path, change in reversed(list(changes.items())):
        document = form.values(text)
        if not path_in_file.has(document, path) or _value(document, path) != change.new:
            kept.append(path)
            continue
        text = (
            form.put(text, path, change.old) if change.had else _dropped(text, form, path, change)
        )
        restored.append(path)
    form.values(text)
    return text, tuple(reversed(restored)), tuple(reversed(kept))


def _holds(text: str, form: FileFormat, expected: Any) -> bool:
    try:
        return bool(form.values(text) == expected)
    except ValueError:
        return False


def _dropped(text: str, form: FileFormat, path: Keys, change: ValueChange) -> str:
    """``text`` without the value, and without the parents that were made for it and are empty."""
    text = form.drop(text, path)
    for length in range(len(path) - 1, len(path) - 1 - change.parents_made, -1):
        if _value(form.values(text), path[:length]):
            break
        text = form.drop(text, path[:length])
    return text


def _value(document: Any, path: Keys) -> Any:
    return path_in_file.get(document, path) if path_in_file.has(document, path) else None
