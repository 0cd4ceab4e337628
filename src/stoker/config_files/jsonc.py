"""Edits JSON with comments, and changes nothing but the one value.

Editors' settings files contain comments, trailing commas and their owner's formatting; a JSON
library would lose all three.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from stoker.config_files import path_in_file
from stoker.config_files.path_in_file import Keys, Step

_SPACE = re.compile(r"(?:\s|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:\\.|[^"\\\r\n])*"')
_SCALAR = re.compile(r"[^\s,\[\]{}/\"]+")
#: What may stand after a value on its line: blanks and comments.
_REST_OF_LINE = re.compile(r"(?:[ \t]|/\*[^\r\n]*?\*/)*(?://[^\r\n]*)?(?=\r?\n)")
_BLANK_TO_LINE_END = re.compile(r"[ \t]*(?:\r?\n|$)")
_NOT_LINE_END = re.compile(r"[^\r\n]")
_DEFAULT_INDENT = "    "


class JsoncError(ValueError):
    """The text is not a JSON object. ``offset`` is where reading stopped."""

    def __init__(self, expected: str, text: str, offset: int) -> None:
        line = text.count("\n", 0, offset) + 1
        super().__init__(f"line {line}: expected {expected}")
        self.offset = offset


@dataclass(frozen=True, slots=True)
class _Item:
    """A property of an object, or an item of a list, which has no ``key``."""

    key: str | None
    start: int
    value_start: int
    end: int
    #: The offset of the comma after it, if there is one.
    comma: int | None


@dataclass(frozen=True, slots=True)
class _Container:
    """An object or a list: the offsets of its brackets, and what is in it."""

    start: int
    close: int
    items: tuple[_Item, ...]

    def find(self, text: str, step: Step) -> _Item | None:
        """The property or item; the last of duplicates, which is the one that editors use."""
        return next((i for i in reversed(self.items) if _is(text, i, step)), None)


def get(text: str, path: str | Keys) -> object:
    """The value at ``path``, or of the outermost object's property; ``None`` if it is missing.

    Raises ValueError if ``text`` is not a JSON object; comments and trailing commas are allowed.
    """
    found = _find(text, _steps(path))
    return None if found is None else _load(text[found.value_start : found.end])


def values(text: str) -> Any:
    """Every property of the outermost object; the last of duplicates. Raises ValueError."""
    if not text.strip():
        return {}
    _parse(text)
    return _load(text)


def has(text: str, path: str | Keys) -> bool:
    """Whether there is a value at ``path``. Raises ValueError."""
    return _find(text, _steps(path)) is not None


def put(text: str, path: str | Keys, value: object) -> str:
    """``text`` with ``value`` at ``path``; no other byte changes. Raises ValueError."""
    steps = _steps(path)
    if not text.strip():
        text = "{\n}\n"
    container, found, depth = _walk(text, steps)
    unit = _unit(text)
    if found is None:
        inside = path_in_file.nested(steps[depth:], value)
        return _insert(text, container, steps[depth - 1], inside, unit)
    base = _line_indent(text, found.start)
    return text[: found.value_start] + _dump(text, value, unit, base) + text[found.end :]


def drop(text: str, path: str | Keys) -> str:
    """``text`` without ``path`` and the line that held it. Raises ValueError."""
    if not has(text, path):
        return text
    container, found, _ = _walk(text, _steps(path))
    return text if found is None else _without(text, container, found)


def _walk(text: str, steps: Keys) -> tuple[_Container, _Item | None, int]:
    """The innermost object or list on the way to ``steps``, what it has there, and its depth."""
    container = _parse(text)
    for depth, step in enumerate(steps, start=1):
        found = container.find(text, step)
        if found is None or depth == len(steps):
            return container, found, depth
        container = _container_for(text, found, steps[depth])
    raise ValueError("a path has at least one step")


def _without(text: str, container: _Container, found: _Item) -> str:
    start, end = found.start, found.end if found.comma is None else found.comma + 1
    line_start = text.rfind("\n", 0, start) + 1
    line_end = _BLANK_TO_LINE_END.match(text, end)
    alone = not text[line_start:start].strip()
    if alone and line_end and line_start > 0:
        start, end = line_start, line_end.end()
    without = text[:start] + text[end:]
    at = container.items.index(found)
    if found.comma is None and at > 0:
        # It was the last property: strict readers refuse the comma before it.
        comma = container.items[at - 1].comma
        without = without if comma is None else without[:comma] + without[comma + 1 :]
    return without


def _steps(path: str | Keys) -> Keys:
    return (path,) if isinstance(path, str) else path


def _is(text: str, item: _Item, step: Step) -> bool:
    if isinstance(step, str):
        return item.key == step
    value = _load(text[item.value_start : item.end]) if text[item.value_start] == "{" else None
    return isinstance(value, dict) and value.get(step[0]) == step[1]


def _find(text: str, steps: Keys) -> _Item | None:
    if not text.strip():
        return None
    container = _parse(text)
    found = container.find(text, steps[0])
    for step in steps[1:]:
        if found is None or text[found.value_start] not in "{[":
            return None
        container = _container(text, found.value_start)
        found = container.find(text, step)
    return found


def _insert(text: str, container: _Container, step: Step, value: object, unit: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    if not container.items:
        return _into_empty(text, container, newline, step, value, unit)
    last = container.items[-1]
    line_start = text.rfind("\n", 0, last.start) + 1
    before = text[line_start : last.start]
    own_line = "\n" in text and not before.strip()
    # On one line, a value stays on it too.
    member = _member(text, step, value, unit if own_line else None, before)
    if last.comma is not None:
        at = last.comma + 1
        at = _after_comment(text, at) if own_line else at
        return text[:at] + (newline + before if own_line else " ") + member + "," + text[at:]
    if not own_line:
        return f"{text[: last.end]}, {member}{text[last.end :]}"
    at = _after_comment(text, last.end)
    return f"{text[: last.end]},{text[last.end : at]}{newline}{before}{member}{text[at:]}"


def _after_comment(text: str, at: int) -> int:
    """The end of the line, if only comments follow: they belong to what is before ``at``."""
    rest = _REST_OF_LINE.match(text, at)
    return at if rest is None else rest.end()


def _into_empty(
    text: str, container: _Container, newline: str, step: Step, value: object, unit: str
) -> str:
    inside = text[container.start + 1 : container.close]
    kept = inside.rstrip() if inside.strip() else ""
    base = _line_indent(text, container.start)
    member = _member(text, step, value, unit, base + unit)
    return (
        text[: container.start + 1]
        + kept
        + f"{newline}{base}{unit}{member}{newline}{base}"
        + text[container.close :]
    )


def _unit(text: str) -> str:
    """The owner's indentation: that of the first property, if it has a line of its own."""
    items = _parse(text).items
    if not items:
        return _DEFAULT_INDENT
    line_start = text.rfind("\n", 0, items[0].start) + 1
    before = text[line_start : items[0].start]
    return before if before and not before.strip() else _DEFAULT_INDENT


def _line_indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip())]


def _parse(text: str) -> _Container:
    start = _skip(text, 1 if text.startswith("\ufeff") else 0)
    _expect(text, start, "{")
    outer = _container(text, start)
    rest = _skip(text, outer.close + 1)
    if rest != len(text):
        raise JsoncError("the end of the file", text, rest)
    return outer


def _container_for(text: str, item: _Item, step: Step) -> _Container:
    """The object or list that ``item`` is, to look for ``step`` in it. Raises JsoncError."""
    if text[item.value_start] != ("{" if isinstance(step, str) else "["):
        raise JsoncError(path_in_file.kind_of(step), text, item.value_start)
    return _container(text, item.value_start)


def _container(text: str, start: int) -> _Container:
    is_object = text[start] == "{"
    close = "}" if is_object else "]"
    items: list[_Item] = []
    at = _skip(text, start + 1)
    while text[at : at + 1] != close:
        if items and items[-1].comma is None:
            raise JsoncError("a comma", text, at)
        item = _item(text, at, is_object)
        items.append(item)
        at = _skip(text, item.end if item.comma is None else item.comma + 1)
    return _Container(start, at, tuple(items))


def _item(text: str, at: int, is_object: bool) -> _Item:
    name, value_start = None, at
    if is_object:
        key = _match(_STRING, text, at, "a property name")
        colon = _skip(text, key.end())
        _expect(text, colon, ":")
        name, value_start = json.loads(key.group()), _skip(text, colon + 1)
    end = _value_end(text, value_start)
    after = _skip(text, end)
    return _Item(name, at, value_start, end, after if text[after : after + 1] == "," else None)


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


def _load(value: str) -> Any:
    """The value of JSON with comments. Blanks take their place, so that errors name the line."""
    pieces: list[str] = []
    at = 0
    while at < len(value):
        space = max(_skip(value, at), at + (value[at] == "\ufeff"))
        if space > at:
            pieces.append(_NOT_LINE_END.sub(" ", value[at:space]))
            at = space
            continue
        string = _STRING.match(value, at)
        piece = string.group() if string else value[at]
        after = _skip(value, at + len(piece))
        trailing = piece == "," and value[after : after + 1] in ("]", "}")
        pieces.append(" " if trailing else piece)
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


def _member(text: str, step: Step, value: object, unit: str | None, base: str) -> str:
    dumped = _dump(text, value, unit, base)
    return f"{json.dumps(step, ensure_ascii=False)}: {dumped}" if isinstance(step, str) else dumped


def _dump(text: str, value: object, unit: str | None, base: str) -> str:
    """``value``: an object on lines of its own below the indentation ``base``."""
    deep = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict) for item in value)
    )
    if not deep or unit is None or not value:
        return json.dumps(value, ensure_ascii=False)
    newline = "\r\n" if "\r\n" in text else "\n"
    return json.dumps(value, ensure_ascii=False, indent=unit).replace("\n", newline + base)
