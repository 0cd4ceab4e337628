"""Turn a call's arguments into the types that the tool's schema names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.tokens.tool_calls.strict_json import parse_json, parse_json_or_python, written

_PYTHON_WORDS = {"True": True, "False": False, "None": None}


def coerce(value: Any, schema: object) -> Any:
    """Turn a value into the type that its schema names, where nothing is lost by it."""
    types = schema_types(schema)
    if not types or not isinstance(value, str) or "string" in types:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return written(value) if types == {"string"} and is_number else value
    parsed = _parse(value)
    return parsed if _is_of(parsed, types) else value


def from_text(text: str, schema: object) -> Any:
    """Return the value of a text that a model wrote without its type."""
    types = schema_types(schema)
    if "string" in types:
        return text
    if types:
        parsed = _parse(text)
        return parsed if _is_of(parsed, types) else text
    parsed = _PYTHON_WORDS.get(text.strip(), parse_json(text))
    return text if parsed is None or isinstance(parsed, str) else parsed


def _parse(text: str) -> Any:
    word = text.strip()
    return _PYTHON_WORDS[word] if word in _PYTHON_WORDS else parse_json_or_python(text)


def schema_types(schema: object) -> frozenset[str]:
    """Return the types that a schema allows, as far as it names them itself; none means any.

    Pydantic writes an optional parameter as ``anyOf`` of its type and ``null``.
    """
    if not isinstance(schema, Mapping):
        return frozenset()
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    found = {item for item in kinds if isinstance(item, str)}
    values = schema.get("enum")
    found |= {_type_of(value) for value in (values if isinstance(values, list) else ())}
    for key in ("anyOf", "oneOf"):
        choices = schema.get(key)
        found |= _all_types(choices) if isinstance(choices, list) else frozenset()
    return frozenset(found)


def _all_types(choices: list[Any]) -> frozenset[str]:
    """Return the types of all choices; one that names none allows any."""
    each = [schema_types(choice) for choice in choices]
    return frozenset().union(*each) if all(each) else frozenset()


_TYPE_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "boolean"),
    (int, "integer number"),
    (float, "number"),
    (type(None), "null"),
    (list, "array"),
    (dict, "object"),
    (str, "string"),
)


def _type_of(value: object) -> str:
    names = (names for kind, names in _TYPE_NAMES if isinstance(value, kind))
    return next(names, "object").split()[0]


def _is_of(value: object, types: frozenset[str]) -> bool:
    for kind, names in _TYPE_NAMES:
        if isinstance(value, kind):
            return not types.isdisjoint(names.split())
    return False
