"""JSON Schema in the part of it that servers read: no booleans, no references to nowhere.

What JSON Schema allows is at https://json-schema.org/draft/2020-12; which of it servers refuse was
measured on llama.cpp b11549 (``schema must be an object``, ``unrecognized type any``). A keyword
that can't be read is left out: the schema then allows more, and the model is never worse off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = dict[str, Any]

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")

#: Keywords whose value is one schema ...
_ONE = frozenset({"items", "not", "contains", "propertyNames", "if", "then", "else"})
#: ... one schema or a boolean that servers read, too ...
_ONE_OR_BOOLEAN = frozenset(
    {"additionalProperties", "additionalItems", "unevaluatedProperties", "unevaluatedItems"}
)
#: ... a list of schemas, and schemas by name.
_SEVERAL = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_DEFINITIONS = ("$defs", "definitions")
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", *_DEFINITIONS})

_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
#: Other languages' names, as tools that were written by hand or for Gemini have them.
_TYPE_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "double": "number",
    "bool": "boolean",
    "dict": "object",
    "list": "array",
    "none": "null",
}


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_COUNTS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
)
#: What the value of a keyword must be to be read at all.
_READABLE: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("description", "title", "pattern", "format", "$ref"), _is_text),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), _is_number),
    # The fourth draft of JSON Schema has booleans here.
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _is_number),
    "required": _is_texts,
    "enum": lambda value: isinstance(value, list) and bool(value),
}


def plain_schema(schema: Any) -> Schema:
    """The schema without what servers can't read. Anything else than an object allows anything."""
    plain = _plain(schema)
    found = _map_schemas(plain, lambda part: _with_target(part, plain))
    return _with_named_root(found)


def without_keywords(schema: Schema, unreadable: Callable[[str, Any], bool]) -> Schema:
    """The schema without the keywords, in any part of it, that ``unreadable`` is true for."""
    return _map_schemas(
        schema, lambda part: {k: v for k, v in part.items() if not unreadable(k, v)}
    )


def moved_schema(schema: Schema, prefix: str) -> tuple[Schema, Schema]:
    """A schema for a place within another one, and the definitions for the root of that.

    A reference counts from the root, so one that stays as it is would point to nowhere. Definitions
    are named after ``prefix`` and their number, so that those of two tools can't clash; a schema
    that refers to any other part of itself becomes a definition whole.
    """
    names = _definition_names(schema, prefix)
    refers_to_itself = False

    def point(part: Schema) -> Schema:
        nonlocal refers_to_itself
        reference = part.get("$ref")
        if not isinstance(reference, str):
            return part
        table, name, rest = _definition_of(reference)
        if (table, name) in names:
            return {**part, "$ref": f"#/$defs/{names[table, name]}{rest}"}
        refers_to_itself = True
        return {**part, "$ref": f"#/$defs/{prefix}{reference[1:]}"}

    body = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
    moved = _map_schemas(body, point)
    definitions = {
        new: _map_schemas(schema[table][name], point) for (table, name), new in names.items()
    }
    if not refers_to_itself:
        return moved, definitions
    return {"$ref": f"#/$defs/{prefix}"}, {prefix: moved, **definitions}


def _definition_names(schema: Schema, prefix: str) -> dict[tuple[str, str], str]:
    """A new name for each definition, by its table and old name."""
    found = [(table, name) for table in _DEFINITIONS for name in schema.get(table) or ()]
    return {
        key: f"{prefix}_{number}_{re.sub(r'[^A-Za-z0-9]+', '_', key[1])}"
        for number, key in enumerate(found)
    }


def _plain(schema: Any) -> Schema:
    if not isinstance(schema, dict):
        return {}
    pairs = ((key, _plain_value(key, value)) for key, value in schema.items())
    return {key: value for key, value in pairs if value is not None or key in ("const", "default")}


def _plain_value(key: str, value: Any) -> Any:
    """A keyword's value that can be read; ``None`` where the keyword is to be left out."""
    if key == "type":
        return _plain_type(value)
    if key in _COUNTS:
        return int(value) if _is_count(value) else None  # 1.0 is no count to llama.cpp
    if key in _NAMED | _SEVERAL | _ONE | _ONE_OR_BOOLEAN:
        return _plain_parts(key, value)
    return value if _READABLE.get(key, lambda _: True)(value) else None


def _plain_parts(key: str, value: Any) -> Any:
    if key in _NAMED:
        named = value if isinstance(value, dict) else {}  # PHP writes an empty one as []
        return {name: _plain(part) for name, part in named.items() if part is not False}
    if key in _SEVERAL or (key == "items" and isinstance(value, list)):
        several = value if isinstance(value, list) else []
        return [_plain(part) for part in several if part is not False] or None
    if key in _ONE:
        return None if value is False else _plain(value)
    return value if isinstance(value, bool) else _plain(value)


def _plain_type(value: Any) -> str | list[str] | None:
    if isinstance(value, str):
        lower = value.lower()
        known = _TYPE_NAMES.get(lower, lower)
        return known if known in _TYPES else None
    names = [_plain_type(name) for name in value] if isinstance(value, list) else []
    return [name for name in names if isinstance(name, str)] if names and all(names) else None


def _map_schemas(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Change every part of a plain schema that is a schema, and then the schema itself."""
    out: Schema = {}
    for key, value in schema.items():
        if key in _NAMED and isinstance(value, dict):
            out[key] = {name: _map_schemas(part, change) for name, part in value.items()}
        elif isinstance(value, list) and (key in _SEVERAL or key == "items"):
            out[key] = [_map_schemas(part, change) for part in value]
        elif key in _ONE | _ONE_OR_BOOLEAN and isinstance(value, dict):
            out[key] = _map_schemas(value, change)
        else:
            out[key] = value
    return change(out)


def _with_target(part: Schema, root: Schema) -> Schema:
    if "$ref" not in part or _leads_to_a_schema(part["$ref"], root):
        return part
    return {key: value for key, value in part.items() if key != "$ref"}


def _with_named_root(schema: Schema) -> Schema:
    """The schema with ``#``, the whole of it, as a definition: llama.cpp reads no bare ``#``."""
    name = "root"
    while name in schema.get("$defs", {}):
        name += "_"

    def point(part: Schema) -> Schema:
        return {**part, "$ref": f"#/$defs/{name}"} if part.get("$ref") == "#" else part

    pointed = _map_schemas(schema, point)
    if pointed == schema:
        return schema
    body = {key: value for key, value in pointed.items() if key not in _DEFINITIONS}
    return {**pointed, "$defs": {**pointed.get("$defs", {}), name: body}}


def _leads_to_a_schema(reference: str, root: Schema) -> bool:
    """Whether it ends at a schema of this document, and not in a circle of references."""
    seen: set[str] = set()
    while reference not in seen:
        seen.add(reference)
        target = _at(reference, root)
        if not isinstance(target, dict):
            return False
        if "$ref" not in target:
            return True
        reference = target["$ref"]
    return False


def _at(reference: str, root: Schema) -> Any:
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None  # another document, or an anchor
    target: Any = root
    for step in reference[2:].split("/"):
        name = _step(step)
        if isinstance(target, list):
            target = target[int(name)] if name.isdecimal() and int(name) < len(target) else None
        else:
            target = target.get(name) if isinstance(target, dict) else None
    return target


def _definition_of(reference: str) -> tuple[str, str, str]:
    """``#/$defs/Item/items`` as the table ``$defs``, the name ``Item`` and the rest of the way."""
    _, table, name, *rest = [*reference.split("/"), "", ""][: max(3, reference.count("/") + 1)]
    return table, _step(name), "".join(f"/{step}" for step in rest)


def _step(text: str) -> str:
    """One step of a JSON pointer in a URI (RFC 6901, sections 4 and 6)."""
    plain = _PERCENT.sub(lambda found: bytes([int(found[1], 16)]), text.encode())
    return plain.decode("utf-8", "replace").replace("~1", "/").replace("~0", "~")
