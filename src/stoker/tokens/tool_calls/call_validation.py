"""Make calls of what a model wrote: a tool that was offered, arguments that are valid JSON."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.chat_messages import tool_name
from stoker.tokens.tool_calls.argument_types import coerce, from_text
from stoker.tokens.tool_calls.strict_json import (
    parse_json_or_python,
    python_tree,
    python_value,
    written,
)

NAME_KEYS = ("name", "tool", "tool_name", "function_name", "function", "action")
ARGUMENT_KEYS = (
    *("arguments", "parameters", "args", "params", "input", "kwargs"),
    *("tool_arguments", "tool_input", "action_input"),
)
#: Keys of an object that holds the call.
_CALL_IN = ("function", "tool_call", "function_call")
#: The keys that a call written as JSON may begin with.
CALL_KEYS = frozenset({*NAME_KEYS, *ARGUMENT_KEYS, *_CALL_IN, "id", "type", "tool_calls"})
#: What is no argument where a call's arguments stand beside its name.
_CALL_FACTS = frozenset({*NAME_KEYS, "id", "type"})
#: A call names its tool within its beginning.
_HEAD_CHARS = 400
_WORDS = re.compile(r"[\w.\-/]+")
#: What models write around a tool's name: Kimi K2's and gpt-oss' name space and Kimi's number
#: (``functions.read:0``), Gemini's name space, the method of Llama 3.1's built-in tools, and a
#: special token behind it, as servers leave gpt-oss' (``read<|channel|>commentary``).
_DECORATED = re.compile(
    r"(?:functions\.|default_api[.:])?(?P<name>.+?)(?::\d+|\.call|\(\))?\s*(?:<\|.*)?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call: a tool that was offered, and its arguments as JSON text."""

    name: str
    arguments: str


class ToolSchemas:
    """The tools of a request, by name, with the types of their parameters."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._parameters = {tool_name(tool): _parameters(tool) for tool in tools}
        self._parameters.pop("", None)
        self.names = frozenset(self._parameters)
        lower = Counter(map(str.lower, self.names))
        #: Models that were taught other agents' tools write ``Read_File`` for ``read_file``.
        self._by_lower = {name.lower(): name for name in self.names if lower[name.lower()] == 1}

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def resolve(self, written_name: str) -> str | None:
        """Return the tool that a model means by ``written_name``, ``None`` if none was offered."""
        name = written_name.strip()
        if name in self._parameters:
            return name
        match = _DECORATED.fullmatch(name)
        bare = match["name"] if match else name
        return bare if bare in self._parameters else self._by_lower.get(bare.lower())

    def may_name(self, beginning: str) -> bool:
        """Return whether a name that begins like this can still become one of a tool."""
        name = beginning.strip()
        return self.resolve(name) is not None or any(
            f"{space}{known}.call".startswith(name.lower())
            for known in map(str.lower, self.names)
            for space in ("", "functions.", "default_api.")
        )

    def parameters_of(self, name: str) -> Mapping[str, Any]:
        """Return the schemas of a tool's parameters by their names."""
        return self._parameters[name]

    def type_of(self, name: str, key: str) -> object:
        """Return the schema of one parameter, ``None`` where the tool's schema has none."""
        return self._parameters[name].get(key)

    def named_in(self, text: str) -> str | None:
        """Return the tool whose name stands first at the beginning of ``text``, if one does."""
        if not self.names:  # an answer to a request without tools is read for its thinking alone
            return None
        head = text[:_HEAD_CHARS]
        words = (self.resolve(match.group()) for match in _WORDS.finditer(head))
        return next((name for name in words if name is not None), None)

    def call(self, name: str, arguments: Mapping[str, Any]) -> Call | None:
        """Return the call, with values turned into what the schema asks for where it is safe.

        ``None`` where the arguments can't be written as JSON that every client reads.
        """
        properties = self._parameters[name]
        try:
            fitted = {key: coerce(value, properties.get(key)) for key, value in arguments.items()}
            return Call(name, written(fitted))
        except (ValueError, TypeError, RecursionError):
            return None

    def call_from_texts(self, name: str, arguments: Mapping[str, str]) -> Call | None:
        """Return the call of a format that writes every value as plain text, or ``None``."""
        properties = self._parameters[name]
        try:
            values = {key: from_text(text, properties.get(key)) for key, text in arguments.items()}
            return Call(name, written(values))
        except (ValueError, TypeError, RecursionError):
            return None

    def calls_in(self, value: Any, *, sure: bool) -> list[Call] | None:
        """Return the calls that a JSON value describes, ``None`` where it is anything else.

        ``sure`` where the model marked it as a call: then a missing ``arguments`` means none.
        """
        if isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
            value = value["tool_calls"]
        items = value if isinstance(value, list) else [value]
        calls = [self._call_in(item, sure=sure) for item in items]
        found = [call for call in calls if call is not None]
        return found if found and len(found) == len(calls) else None

    def _call_in(self, value: Any, *, sure: bool) -> Call | None:
        if not isinstance(value, dict):
            return None
        value = next((value[key] for key in _CALL_IN if isinstance(value.get(key), dict)), value)
        if sure and len(value) == 1 and isinstance(keyed := next(iter(value.values())), dict):
            name = self.resolve(str(next(iter(value))))  # Apertus: the name is the key
            return None if name is None else self.call(name, keyed)
        written_name = next((value[k] for k in NAME_KEYS if isinstance(value.get(k), str)), "")
        name = self.resolve(written_name)
        if name is None:
            return None
        key = next((key for key in ARGUMENT_KEYS if key in value), None)
        if key is None:
            return self._flat_call(name, value) if sure else None
        arguments = value[key]
        if isinstance(arguments, str) and arguments.strip() not in ("", "null"):
            arguments = parse_json_or_python(arguments)
        elif arguments is None or isinstance(arguments, str):
            arguments = {}
        return self.call(name, arguments) if isinstance(arguments, dict) else None

    def _flat_call(self, name: str, value: Mapping[str, Any]) -> Call | None:
        """A call whose arguments stand beside its name, or that has none."""
        beside = {key: item for key, item in value.items() if key not in _CALL_FACTS}
        is_known = beside.keys() <= self._parameters[name].keys()
        return self.call(name, beside) if is_known else None

    def call_from_python(self, name: str, arguments: str) -> Call | None:
        """Return the call whose arguments are ``(a=1, b="x")``, ``None`` for other code."""
        node = python_tree(f"call{arguments}")
        if not isinstance(node, ast.Call) or node.args or not all(k.arg for k in node.keywords):
            return None
        values = {item.arg or "": item.value for item in node.keywords}
        found = {key: python_value(value) for key, value in values.items()}
        is_none = {key for key, value in values.items() if _is_none(value)}
        if any(value is None and key not in is_none for key, value in found.items()):
            return None
        return self.call(name, found)


def _is_none(node: ast.expr) -> bool:
    is_null = isinstance(node, ast.Name) and node.id == "null"
    return is_null or (isinstance(node, ast.Constant) and node.value is None)


def _parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    parameters = function.get("parameters") if isinstance(function, Mapping) else None
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}
