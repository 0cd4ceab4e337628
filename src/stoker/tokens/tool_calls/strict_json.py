"""Read and write JSON that every client can read, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from stoker.tokens.tool_calls.bracket_scanner import BracketScanner

_MAX_DEPTH = 64


def parse_json(text: str) -> Any:
    """Return the JSON value of ``text``, ``None`` where it is not strict JSON.

    Models often write a real newline inside of a string; only that is accepted.
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


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _depth_ok(value: object, depth: int = 0) -> bool:
    if depth > _MAX_DEPTH:
        return False
    if isinstance(value, dict):
        return all(_depth_ok(item, depth + 1) for item in value.values())
    return not isinstance(value, list) or all(_depth_ok(item, depth + 1) for item in value)


def _can_be_written(value: object) -> bool:
    try:
        written(value)
    except ValueError:
        return False
    return True


def written(value: object) -> str:
    """Return the JSON of a value; raises ``ValueError`` where no client could read it.

    Infinity (``1e999`` is read as it) and half of a surrogate pair are not JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    return text
