"""Edits JSON with comments, and changes nothing but the one property.

Editors' settings files contain comments, trailing commas and their owner's formatting; a JSON
library would lose all three. Only properties of the outermost object are edited.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_SPACE = re.compile(r"(?:\s|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\\r\n])*"')
_SCALAR = re.compile(r"[^\s,\[\]{}/\"]+")
_DEFAULT_INDENT = "    "


class JsoncError(ValueError):
    """The text is not a JSON object. ``offset`` is where reading stopped."""

    def __init__(self, expected: str, text: str, offset: int) -> None:
        line = text.count("\n", 0, offset) + 1
        super().__init__(f"line {line}: expected {expected}")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class _Property:
    key: str
    start: int
    value_start: int
    end: int
    #: The offset of the comma after it, if there is one.
    comma: int | None


@dataclass(frozen=True, slots=True)
class _Object:
    start: int
    #: The offset of its closing brace.
    close: int
    properties: tuple[_Property, ...]

    def find(self, key: str) -> _Property | None:
        """The property; the last of duplicates, which is the one that editors use."""
        return next((p for p in reversed(self.properties) if p.key == key), None)


def get(text: str, key: str) -> object:
    """The value of ``key`` in the outermost object; ``None`` if it is missing.

    Raises JsoncError if ``text`` is not a JSON object; comments and trailing commas are allowed.
    """
    found = _parse(text).find(key) if text.strip() else None
    return None if found is None else _load(text[found.value_start : found.end])


def values(text: str) -> dict[str, object]:
    """Every property of the outermost object; the last of duplicates. Raises JsoncError."""
    properties = _parse(text).properties if text.strip() else ()
    return {p.key: _load(text[p.value_start : p.end]) for p in properties}


def has(text: str, key: str) -> bool:
    """Whether the outermost object has ``key``. Raises JsoncError."""
    return bool(text.strip()) and _parse(text).find(key) is not None


def put(text: str, key: str, value: object) -> str:
    """``text`` with ``key`` set to ``value``; no other byte changes. Raises JsoncError."""
    if not text.strip():
        return f"{{\n{_DEFAULT_INDENT}{_member(key, value)}\n}}\n"
    outer = _parse(text)
    found = outer.find(key)
    if found is not None:
        return text[: found.value_start] + _dump(value) + text[found.end :]
    newline = "\r\n" if "\r\n" in text else "\n"
    if not outer.properties:
        return _into_empty(text, outer, newline, _member(key, value))
    last = outer.properties[-1]
    line_start = text.rfind("\n", 0, last.start) + 1
    before = text[line_start : last.start]
    separator = f"{newline}{before}" if "\n" in text and not before.strip() else " "
    if last.comma is not None:
        at = last.comma + 1
        return text[:at] + separator + _member(key, value) + "," + text[at:]
    return text[: last.end] + "," + separator + _member(key, value) + text[last.end :]


def drop(text: str, key: str) -> str:
    """``text`` without ``key`` and the line that held it. Raises JsoncError."""
    if not has(text, key):
        return text
    outer = _parse(text)
    at = max(i for i, p in enumerate(outer.properties) if p.key == key)
    found = outer.properties[at]
    start, end = found.start, found.end if found.comma is None else found.comma + 1
    line_start = text.rfind("\n", 0, start) + 1
    line_end = re.compile(r"[ \t]*(?:\r?\n|$)").match(text, end)
    alone = not text[line_start:start].strip()
    if alone and line_end and line_start > 0:
        start, end = line_start, line_end.end()
    without = text[:start] + text[end:]
    if found.comma is None and at > 0:
        # It was the last property: strict readers refuse the comma before it.
        comma = outer.properties[at - 1].comma
        without = without if comma is None else without[:comma] + without[comma + 1 :]
    return without


def _into_empty(text: str, outer: _Object, newline: str, member: str) -> str:
    inside = text[outer.start + 1 : outer.close]
    kept = inside.rstrip() if inside.strip() else ""
    return (
        text[: outer.start + 1]
        + kept
        + f"{newline}{_DEFAULT_INDENT}{member}{newline}"
        + text[outer.close :]
    )


def _parse(text: str) -> _Object:
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    _expect(text, start, "{")
    properties: list[_Property] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        if properties and properties[-1].comma is None:
            raise JsoncError("a comma", text, at)
        key = _match(_STRING, text, at, "a property name")
        colon = _skip(text, key.end())
        _expect(text, colon, ":")
        value_start = _skip(text, colon + 1)
        end = _value_end(text, value_start)
        after = _skip(text, end)
        comma = after if text[after : after + 1] == "," else None
        name = json.loads(key.group())
        properties.append(_Property(name, at, value_start, end, comma))
        at = after if comma is None else _skip(text, comma + 1)
    rest = _skip(text, at + 1)
    if rest != len(text):
        raise JsoncError("the end of the file", text, rest)
    return _Object(start, at, tuple(properties))


def _value_end(text: str, at: int) -> int:
    depth = 0
    while True:
        character = text[at : at + 1]
        if character == '"':
            at = _match(_STRING, text, at, "the end of the string").end()
        elif character and character in "[{":
            depth, at = depth + 1, at + 1
        elif character and character in "]}" and depth:
            depth, at = depth - 1, at + 1
        elif character and character in ",:" and depth:
            at += 1
        else:
            at = _match(_SCALAR, text, at, "a value").end()
        if depth == 0:
            return at
        at = _skip(text, at)


def _load(value: str) -> object:
    pieces: list[str] = []
    at = 0
    while at < len(value):
        space = _skip(value, at)
        if space > at:
            at = space
            continue
        string = _STRING.match(value, at)
        piece = string.group() if string else value[at]
        after = _skip(value, at + len(piece))
        trailing = piece == "," and value[after : after + 1] in ("]", "}")
        pieces.append("" if trailing else piece)
        at += len(piece)
    return json.loads("".join(pieces))


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _match(pattern: re.Pattern[str], text: str, at: int, expected: str) -> re.Match[str]:
    match = pattern.match(text, at)
    if match is None:
        raise JsoncError(expected, text, at)
    return match


def _expect(text: str, at: int, character: str) -> None:
    if text[at : at + 1] != character:
        raise JsoncError(repr(character), text, at)


def _member(key: str, value: object) -> str:
    return f"{_dump(key)}: {_dump(value)}"


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
