"""Edits TOML and changes nothing but the one value."""

from __future__ import annotations

from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from stoker.config_files import path_in_file
from stoker.config_files.path_in_file import Keys


def values(text: str) -> dict[str, Any]:
    """The document. Raises ValueError with the line where it is not TOML."""
    return _parse(text).unwrap()


def put(text: str, path: Keys, value: object) -> str:
    """``text`` with ``value`` at ``path``. Raises ValueError."""
    document = _parse(text)
    container: Any = document
    for depth, step in enumerate(path[:-1]):
        if step not in container:
            container[step] = tomlkit.table(
                is_super_table=depth < len(path) - 2 or isinstance(value, dict)
            )
        container = container[step]
    container[path[-1]] = value
    return _dump(document, text)


def drop(text: str, path: Keys) -> str:
    """``text`` without the value at ``path``. Raises ValueError."""
    document = _parse(text)
    if path_in_file.has(document, path):
        del path_in_file.get(document, path[:-1])[path[-1]]
    return _dump(document, text)


def _dump(document: tomlkit.TOMLDocument, before: str) -> str:
    """Lines that tomlkit adds end as the owner's do."""
    text = tomlkit.dumps(document)
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in before else text


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise ValueError(str(error)) from None
