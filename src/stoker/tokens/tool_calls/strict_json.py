"""Read and write JSON that every client can read, and nothing else."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

from stoker.tokens.tool_calls.bracket_scanner import BracketScanner

_MAX_DEPTH = 64
#: A Python string, in any quotes. Only the two kinds of three quotes may hold line ends.
_PYTHON_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'',
    re.DOTALL,
)
_JSON_STRING = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_MARKS = re.compile(r'["{}\[\]]')
_PAIRS = {"{": "}", "[": "]"}
_JSON_WORDS = {"true": True, "false": False, "null": None}


def parse_json(text: str) -> Any:
    """Return the JSON value of ``text``, ``None`` where it is not strict JSON.

    Models often write a real newline inside a string; only that is accepted.
    """
    try:
        value = json.loads(text, strict=False, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if _depth_ok(value) and _can_be_written(value) else None


def is_cut_json(text: str) -> bool:
    """Return whether ``text`` ends within its first object, array or string."""
    text = text.strip()
    if text.startswith(("{", "[")):
        return BracketScanner(0).end(text) is None
    return text.startswith('"') and (len(text) == 1 or not text.endswith('"'))


def missing_brackets(text: str) -> str | None:
    """Return what closes the brackets that ``text`` leaves open.

    ``None`` where it ends within a string, or its brackets do not match.
    """
    open_brackets: list[str] = []
    for mark in _MARKS.findall(_JSON_STRING.sub("", text)):
        if mark == '"':
            return None
        if mark in _PAIRS:
            open_brackets.append(_PAIRS[mark])
        elif not open_brackets or open_brackets.pop() != mark:
            return None
    return "".join(reversed(open_brackets))


def parse_json_or_python(text: str) -> Any:
    """Return the value of JSON, or of a Python literal such as ``{'all': True}``, else ``None``."""
    value = parse_json(text)
    if value is None:
        tree = python_tree(text)
        value = None if tree is None else python_value(tree)
    return value


def python_tree(text: str) -> ast.expr | None:
    """Return the syntax tree of one Python expression, ``None`` where it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a string: models write it
            return ast.parse(_escape_line_ends(text.strip()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def python_value(node: ast.expr) -> Any:
    """Return the value of a literal as JSON has it, ``None`` where it has none.

    ``true``, ``false`` and ``null`` are read as well: models mix the two languages.
    """
    try:
        value = ast.literal_eval(_JsonWords().visit(node))
    except (ValueError, TypeError, RecursionError, MemoryError, SyntaxError):
        return None
    return value if _depth_ok(value) and _can_be_written(value) else None


class _JsonWords(ast.NodeTransformer):
    """Turns the words of JSON into Python's, and JavaScript's keys without quotes into texts."""

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        """Return the object with every key as a text."""
        node.keys = [ast.Constant(k.id) if isinstance(k, ast.Name) else k for k in node.keys]
        return self.generic_visit(node)  # type: ignore[return-value]

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return the constant that the word means."""
        return ast.Constant(_JSON_WORDS[node.id]) if node.id in _JSON_WORDS else node


def _escape_line_ends(text: str) -> str:
    return _PYTHON_STRING.sub(
        lambda found: found[0] if found[0][:3] in {'"""', "'''"} else _escaped(found[0]), text
    )


def _escaped(string: str) -> str:
    return string.replace("\\\n", "\\\\\n").replace("\n", "\\n").replace("\r", "\\r")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _depth_ok(value: object, depth: int = 0) -> bool:
    if depth > _MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(_depth_ok(item, depth + 1) for item in value.values())
    return not isinstance(value, list | tuple) or all(_depth_ok(item, depth + 1) for item in value)


def _can_be_written(value: object) -> bool:
    try:
        written(value)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def written(value: object) -> str:
    """Return the JSON of a value; raises ``ValueError`` where no client could read it.

    Infinity (``1e999`` is read as it) and half of a surrogate pair are not JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    return text
