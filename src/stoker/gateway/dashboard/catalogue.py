"""The texts of the dashboard in its languages, side by side in ``texts.toml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from stoker.data.facts import tomllib

_FILE = Path(__file__).with_name("texts.toml")


def text(key: str, language: str) -> str:
    """The text of a key such as ``page.title``. Raises ``KeyError`` where there is none."""
    return texts()[key][language]


def has(key: str) -> bool:
    """Whether there is a text of this key."""
    return key in texts()


@cache
def texts() -> Mapping[str, Mapping[str, str]]:
    """Each text by its key, and then by its language."""
    return dict(_flat(tomllib.loads(_FILE.read_text(encoding="utf-8"))))


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Mapping[str, str]]]:
    for name, value in section.items():
        if any(isinstance(inner, str) for inner in value.values()):
            yield prefix + name, value
        else:
            yield from _flat(value, f"{prefix}{name}.")
