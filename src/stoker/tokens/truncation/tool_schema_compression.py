"""Write tool definitions with fewer tokens, at four levels of detail."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from stoker.tokens.chat_messages import tool_name
from stoker.tokens.token_errors import ToolTooDeepError

#: As sent; without empty fields; with shorter descriptions; with one sentence a tool.
LEVELS = ("as sent", "compact", "short", "minimal")
AS_SENT, COMPACT, SHORT, MINIMAL = range(4)

_SHORT_TOOL_CHARS, _SHORT_PARAMETER_CHARS = 280, 90
_MINIMAL_TOOL_CHARS = 110
#: Keys whose values map names to schemas: a property may itself be called "title".
_MAPS = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
#: Keys that hold data, not schemas.
_DATA = frozenset({"enum", "const", "default", "required", "examples"})
_EMPTY_VALUES: dict[str, tuple[object, ...]] = {
    "required": ([],),
    "description": ("",),
    "additionalProperties": (True, {}),
    "default": (None,),
}
_ALWAYS_DROPPED = frozenset({"$schema", "$id", "$comment", "title"})
_DROPPED_WHEN_SHORT = frozenset(
    {"examples", "additionalProperties", "markdownDescription", "enumDescriptions"}
)
_DROPPED_WHEN_MINIMAL = frozenset(
    {
        *("description", "default", "format", "pattern", "minLength", "maxLength"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("minItems", "maxItems", "uniqueItems"),
    }
)
_SPACES = re.compile(r"[ \t]+")
_BLANK_LINES = re.compile(r"\s*\n\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"'(\[*-])|\s*\n")
#: "This is a tool for creating ..." means no more than "Creating ...".
_PREAMBLE = re.compile(r"^(?:This is a tool (?:that|for|to)|This tool(?: will)?)\s+", re.IGNORECASE)
_NOT_SENTENCE_ENDS = ("e.g.", "i.e.", "eg.", "etc.", "vs.")


@dataclass(frozen=True, slots=True)
class ToolForms:
    """One tool at every level: what is sent, and the text that a template renders of it."""

    name: str
    forms: tuple[Mapping[str, Any], ...]
    texts: tuple[str, ...]


def forms_of(tool: Mapping[str, Any]) -> ToolForms:
    """Return ``tool`` at every level. Computed once for the same content.

    Raises ``ToolTooDeepError`` for a schema that no server accepts either.
    """
    try:
        return _forms(orjson.dumps(tool))
    except (TypeError, RecursionError) as error:  # orjson writes at most 254 levels
        raise ToolTooDeepError(tool_name(tool)) from error


@lru_cache(maxsize=1024)
def _forms(tool_json: bytes) -> ToolForms:
    tool = orjson.loads(tool_json)
    if not isinstance(tool.get("function"), dict):
        forms: tuple[Mapping[str, Any], ...] = (tool,) * len(LEVELS)
    else:
        forms = tuple(_at_level(tool, level) for level in range(len(LEVELS)))
    texts = tuple(json.dumps(form, ensure_ascii=False) for form in forms)
    return ToolForms(tool_name(tool), forms, texts)


def _at_level(tool: dict[str, Any], level: int) -> dict[str, Any]:
    if level == AS_SENT:
        return tool
    function = dict(tool["function"])
    description = function.get("description")
    if isinstance(description, str):
        function["description"] = _shorten(description, level, tool=True)
    if isinstance(function.get("parameters"), dict):
        function["parameters"] = _schema(function["parameters"], level)
    if function.get("strict") in (False, None):
        function.pop("strict", None)
    return {**tool, "function": function}


def _schema(schema: Any, level: int) -> Any:
    if isinstance(schema, list):
        return [_schema(item, level) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in schema.items():
        if _is_dropped(key, value, level):
            continue
        if key in _MAPS and isinstance(value, dict):
            out[key] = {name: _schema(item, level) for name, item in value.items()}
        elif key in _DATA:
            out[key] = value
        elif key == "description" and isinstance(value, str):
            out[key] = _shorten(value, level, tool=False)
        else:
            out[key] = _schema(value, level)
    return out


def _is_dropped(key: str, value: object, level: int) -> bool:
    if key in _ALWAYS_DROPPED and not isinstance(value, dict):
        return True
    if any(value == nothing for nothing in _EMPTY_VALUES.get(key, ())):
        return True
    if level >= SHORT and key in _DROPPED_WHEN_SHORT:
        return True
    return level >= MINIMAL and key in _DROPPED_WHEN_MINIMAL


def _shorten(text: str, level: int, *, tool: bool) -> str:
    text = _BLANK_LINES.sub("\n", _SPACES.sub(" ", text)).strip()
    if level == COMPACT:
        return text
    if level == MINIMAL:
        return sentences(_PREAMBLE.sub("", text), _MINIMAL_TOOL_CHARS, most=1)
    chars = _SHORT_TOOL_CHARS if tool else _SHORT_PARAMETER_CHARS
    return sentences(text, chars, most=3 if tool else 1)


def sentences(text: str, max_chars: int, *, most: int) -> str:
    """Return the first sentences of ``text``, at most ``most`` and about ``max_chars`` long.

    A first sentence that is too long by itself is cut at a word.
    """
    end, count = 0, 0
    for match in _SENTENCE_END.finditer(text):
        if text[: match.start()].endswith(_NOT_SENTENCE_ENDS):
            continue
        if match.start() > max_chars and end:
            break
        end, count = match.start(), count + 1
        if count == most:
            break
    else:
        if not end or len(text) <= max_chars:
            end = len(text)
    kept = text[:end]
    if len(kept) <= max_chars:
        return kept
    cut = kept.rfind(" ", max_chars // 2, max_chars)
    return kept[: cut if cut > 0 else max_chars].rstrip(" ,;:-(")
