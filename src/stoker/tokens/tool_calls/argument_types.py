"""Turn a call's arguments into the types that the tool's schema names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.tokens.tool_calls.strict_json import parse_json, written


def coerce(value: Any, schema: object) -> Any:
    """Turn a value into the type that its schema names, where nothing is lost by it."""
    types = _types(schema)
    if not types or not isinstance(value, str) or "string" in types:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return written(value) if types == {"string"} and is_number else value
    parsed = parse_json(value)
    return parsed if _is_of(parsed, types) else value


def from_text(text: str, schema: object) -> Any:
    types = _types(schema)
    if "string" in types:
        return text
    parsed = parse_json(text)
    if parsed is None and text.strip() in {"True", "False", "None"}:
        parsed = {"True": True, "False": False, "None": None}[text.strip()]
    if types:
        return parsed if _is_of(parsed, types) else text
    return text if parsed is None or isinstance(parsed, str) else parsed


def _types(schema: object) -> frozenset[str]:
    if not isinstance(schema, Mapping):
        return frozenset()
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return frozenset(item for item in kinds if isinstance(item, str))


_TYPE_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    (int, "integer number"),
    (float, "number"),
    (type(None), "null"),
    (list, "array"),
    (dict, "object"),
)


def _is_of(value: object, types: frozenset[str]) -> bool:
    for kind, names in _TYPE_NAMES:
        if isinstance(value, kind):
            return not types.isdisjoint(names.split())
    return False
