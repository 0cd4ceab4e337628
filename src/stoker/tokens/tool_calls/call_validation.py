"""Make calls of what a model wrote: a tool that was offered, arguments that are valid JSON."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.chat_messages import tool_name
from stoker.tokens.tool_calls.argument_types import coerce, from_text
from stoker.tokens.tool_calls.strict_json import parse_json, written

NAME_KEYS = ("name", "tool", "tool_name", "function_name", "function")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "kwargs")
#: The keys that a call written as JSON may begin with.
CALL_KEYS = frozenset({*NAME_KEYS, *_ARGUMENT_KEYS, "id", "type", "tool_calls"})
#: A call names its tool within its beginning.
_HEAD_CHARS = 400
_WORDS = re.compile(r"[\w.\-/]+")


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

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def named_in(self, text: str) -> str | None:
        """Return the tool whose name stands first at the beginning of ``text``, if one does."""
        head = text[:_HEAD_CHARS]
        found = {match.group(): match.start() for match in _WORDS.finditer(head)}
        return min((n for n in self.names if n in found), key=lambda n: found[n], default=None)

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
        if isinstance(value.get("function"), dict):
            value = value["function"]
        name = next((value[key] for key in NAME_KEYS if isinstance(value.get(key), str)), None)
        if name not in self._parameters or name is None:
            return None
        key = next((key for key in _ARGUMENT_KEYS if key in value), None)
        if key is None:
            return self.call(name, {}) if sure and len(value) == 1 else None
        arguments = value[key]
        if isinstance(arguments, str) and arguments.strip() not in ("", "null"):
            arguments = parse_json(arguments)
        elif arguments is None or isinstance(arguments, str):
            arguments = {}
        return self.call(name, arguments) if isinstance(arguments, dict) else None

    def calls_in_python(self, text: str) -> list[Call] | None:
        """Return the calls of ``[f(a=1), g(b="x")]`` or ``f(a=1)``, ``None`` for other code."""
        try:
            expression = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        items = expression.elts if isinstance(expression, ast.List) else [expression]
        calls = [self._python_call(item) for item in items]
        found = [call for call in calls if call is not None]
        return found if found and len(found) == len(calls) else None

    def _python_call(self, node: ast.expr) -> Call | None:
        if not isinstance(node, ast.Call) or node.args:
            return None
        name = ast.unparse(node.func).removesuffix(".call")
        if name not in self._parameters:
            return None
        try:
            values = {item.arg: ast.literal_eval(item.value) for item in node.keywords if item.arg}
            return self.call(name, values)
        except (ValueError, TypeError, RecursionError, MemoryError):
            return None


def _parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    parameters = function.get("parameters") if isinstance(function, Mapping) else None
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}
