"""Edits YAML and changes nothing but the one value.

ruamel.yaml gives the place of each value in the text; only the text of the value changes. Its
round trip writes the whole document again, which would change quotes, indentation and long lines.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from stoker.config_files import path_in_file
from stoker.config_files.path_in_file import Keys, Step

_INDENT = "  "
#: Words that YAML reads as text without quotes, and not as a number, a date or a truth value.
_PLAIN = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)$)[A-Za-z_][\w./-]*", re.IGNORECASE)
_REST_OF_LINE = re.compile(r"[^\r\n]*")


def values(text: str) -> Any:
    """The document; ``None`` for an empty one. Raises ValueError with the line."""
    return _checked(lambda: YAML(typ="safe", pure=True).load(text))


def put(text: str, path: Keys, value: object) -> str:
    """``text`` with ``value`` at ``path``; no other byte changes. Raises ValueError."""
    node = _root(text)
    if node is None:
        return _appended(text, _block(path_in_file.nested(path, value), ""))
    for depth, step in enumerate(path):
        found = _find(node, step)
        if found is None:
            inside = path_in_file.nested(path[depth + 1 :], value)
            return _insert(text, node, step, inside)
        key, item = found
        if _is_empty(item) or depth == len(path) - 1:
            inside = path_in_file.nested(path[depth + 1 :], value)
            return _replace(text, key, item, inside)
        node = item
    raise AssertionError("a path has at least one step")


def drop(text: str, path: Keys) -> str:
    """``text`` without the value at ``path`` and its lines. Raises ValueError."""
    node = _root(text)
    for step in path[:-1]:
        found = None if node is None else _find(node, step)
        node = None if found is None else found[1]
    found = None if node is None else _find(node, path[-1])
    if node is None or found is None:
        return text
    if len(node.value) == 1:
        # Readers expect an empty list or object here, not a missing value.
        start, end = _span(text, node)
        return text[:start] + ("[]" if isinstance(node, SequenceNode) else "{}") + text[end:]
    if _is_flow(node):
        return _without_entry(text, node, found)
    start = _line_start(text, _begin(text, node, found))
    end = _line_end(text, _end(text, found[1]))
    return text[:start] + text[end:].removeprefix("\r").removeprefix("\n")


def _without_entry(text: str, node: Node, entry: tuple[Node, Node]) -> str:
    """``text`` without an entry between brackets, and without its comma."""
    spans = [
        (int(key.start_mark.index), _end(text, value)) for key, value in map(_pair, node.value)
    ]
    at = spans.index((int(entry[0].start_mark.index), _end(text, entry[1])))
    start, end = (spans[at - 1][1], spans[at][1]) if at else (spans[0][0], spans[1][0])
    if "#" in text[start : spans[at][0]] + text[spans[at][1] : end]:
        raise ValueError(f"line {node.start_mark.line + 1}: expected no comments between values")
    return text[:start] + text[end:]


def _pair(entry: Any) -> tuple[Node, Node]:
    """The key and the value; of an item of a list, the item twice."""
    return entry if isinstance(entry, tuple) else (entry, entry)


def _checked(read: Any) -> Any:
    try:
        return read()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None
    except YAMLError as error:
        raise ValueError(str(error)) from None


def _root(text: str) -> Node | None:
    root = _checked(lambda: YAML(typ="safe", pure=True).compose(text))
    return None if root is None or _is_empty(root) else root


def _is_empty(node: Node) -> bool:
    """Whether it is a key without a value."""
    return isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index


def _find(node: Node, step: Step) -> tuple[Node, Node] | None:
    """The entry at ``step``, as ``_pair`` gives it."""
    if isinstance(step, str):
        _expect(node, MappingNode, step)
        return next((pair for pair in reversed(node.value) if pair[0].value == step), None)
    _expect(node, SequenceNode, step)
    for item in node.value:
        pairs = item.value if isinstance(item, MappingNode) else ()
        if any(key.value == step[0] and value.value == step[1] for key, value in pairs):
            return item, item
    return None


def _is_flow(node: Node) -> bool:
    """Whether it is written with brackets."""
    return isinstance(node, MappingNode | SequenceNode) and bool(node.flow_style)


def _expect(node: Node, kind: type[Node], step: Step) -> None:
    if not isinstance(node, kind):
        line = node.start_mark.line + 1
        raise ValueError(f"line {line}: expected {path_in_file.kind_of(step)}")


def _insert(text: str, node: Node, step: Step, value: object) -> str:
    """``text`` with one more entry at the end of an object or a list."""
    entry: Any = {step: value} if isinstance(step, str) else [value]
    if _is_flow(node):
        close = node.end_mark.index - 1
        separator = ", " if node.value else ""
        return text[:close] + separator + json.dumps(entry, ensure_ascii=False)[1:-1] + text[close:]
    at = _line_end(text, _end(text, _pair(node.value[-1])[1]))
    begin = _begin(text, node, _pair(node.value[0]))
    indent = " " * (begin - _line_start(text, begin))
    return text[:at] + _newline(text) + _lines(text, _block(entry, indent)) + text[at:]


def _replace(text: str, key: Node, node: Node, value: object) -> str:
    if key is node:  # an item of a list, which is an object
        start, end = _span(text, node)
        indent = " " * node.start_mark.column
        return text[:start] + _lines(text, _block(value, indent).lstrip()) + text[end:]
    start, end = _span(text, node)
    if not isinstance(value, dict | list) or not value or _is_flow(node):
        space = "" if text[start - 1 : start] in (" ", "\t") else " "
        return text[:start] + space + _inline(value) + text[end:]
    colon = _rest(text, key.end_mark.index)
    at = _line_end(text, key.end_mark.index)
    indent = " " * (key.start_mark.column + len(_INDENT))
    block = _newline(text) + _lines(text, _block(value, indent))
    if _is_empty(node):
        return text[:at] + block + text[at:]
    if colon <= start < at:  # a value on the key's line makes room for lines of its own
        return text[: start - 1] + block + text[end:]
    return text[: _line_start(text, start) - len(_newline(text))] + block + text[end:]


def _inline(value: object) -> str:
    """A value on one line."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _block(value: Any, indent: str) -> str:
    """An object or a list, one entry a line, each line indented."""
    if isinstance(value, list):
        return "\n".join(f"{indent}- {_entry(item, indent + _INDENT)}" for item in value)
    return "\n".join(
        f"{indent}{_inline(key)}:{_value(item, indent)}" for key, item in value.items()
    )


def _entry(item: object, indent: str) -> str:
    nested = isinstance(item, dict | list) and item
    return _block(item, indent).lstrip() if nested else _inline(item)


def _value(item: object, indent: str) -> str:
    if isinstance(item, dict | list) and item:
        return "\n" + _block(item, indent + _INDENT)
    return f" {_inline(item)}"


def _span(text: str, node: Node) -> tuple[int, int]:
    return node.start_mark.index, _end(text, node)


def _end(text: str, node: Node) -> int:
    """Where the value ends. A block's own mark is behind the comments that follow it."""
    if isinstance(node, ScalarNode):
        written = text[node.start_mark.index : node.end_mark.index]
        return int(node.start_mark.index) + len(written.rstrip())
    if _is_flow(node) or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    if not isinstance(last, tuple):
        return _end(text, last)
    # An alias has the position of its anchor: it is never behind its own key.
    return max(_end(text, last[1]), _rest(text, last[0].end_mark.index))


def _rest(text: str, at: int) -> int:
    return text.index(":", at) + 1


def _begin(text: str, node: Node, entry: tuple[Node, Node]) -> int:
    """Where the entry of a block begins: its key, or the dash of its item."""
    start = int(entry[0].start_mark.index)
    return text.rindex("-", 0, start) if isinstance(node, SequenceNode) else start


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    match = _REST_OF_LINE.match(text, at)
    return at if match is None else match.end()


def _appended(text: str, block: str) -> str:
    newline = _newline(text)
    before = text if not text or text.endswith("\n") else text + newline
    return before + _lines(text, block) + newline


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _lines(text: str, block: str) -> str:
    return block.replace("\n", _newline(text))
