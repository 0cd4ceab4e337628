"""Make calls out of what a model wrote: names that were offered, arguments that are valid JSON."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.chat_messages import tool_name

NAME_KEYS = ("name", "tool", "tool_name", "function_name", "function")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input", "tool_input", "kwargs")
#: The keys that a call written as JSON may begin with.
CALL_KEYS = frozenset({*NAME_KEYS, *_ARGUMENT_KEYS, "id", "type", "tool_calls"})
_MAX_DEPTH = 64
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
            fitted = {key: _coerce(value, properties.get(key)) for key, value in arguments.items()}
            return Call(name, _written(fitted))
        except (ValueError, TypeError, RecursionError):
            return None

    def call_from_texts(self, name: str, arguments: Mapping[str, str]) -> Call | None:
        """Return the call of a format that writes every value as plain text, or ``None``."""
        properties = self._parameters[name]
        try:
            values = {key: _from_text(text, properties.get(key)) for key, text in arguments.items()}
            return Call(name, _written(values))
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


def parse_json(text: str) -> Any:
    """Return the JSON value of ``text``, ``None`` where it is none or not strictly JSON.

    Models often write a real newline inside of a string; that alone is let pass.
    """
    try:
        value = json.loads(text, strict=False, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if _depth_ok(value) and _can_be_written(value) else None


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
        _written(value)
    except ValueError:
        return False
    return True


def _written(value: object) -> str:
    """Return the JSON of a value; raises ``ValueError`` where no client could read it.

    Infinity (``1e999`` is read as it) and half of a surrogate pair are not JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    text.encode()
    return text


def _types(schema: object) -> frozenset[str]:
    if not isinstance(schema, Mapping):
        return frozenset()
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return frozenset(item for item in kinds if isinstance(item, str))


def _coerce(value: Any, schema: object) -> Any:
    """Turn a value into the type that its schema names, where nothing is lost by it."""
    types = _types(schema)
    if not types or not isinstance(value, str) or "string" in types:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return _written(value) if types == {"string"} and is_number else value
    parsed = parse_json(value)
    return parsed if _is_of(parsed, types) else value


def _from_text(text: str, schema: object) -> Any:
    types = _types(schema)
    if "string" in types:
        return text
    parsed = parse_json(text)
    if parsed is None and text.strip() in {"True", "False", "None"}:
        parsed = {"True": True, "False": False, "None": None}[text.strip()]
    if types:
        return parsed if _is_of(parsed, types) else text
    return text if parsed is None or isinstance(parsed, str) else parsed


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


#: Qwen3-Coder's ``<parameter=path>`` ... ``</parameter>``; the closing tag may be missing.
_PARAMETER, _END_PARAMETER = "<parameter=", "</parameter>"
#: GLM 4.5's pairs of key and value.
_ARG_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


def parameters_in_xml(text: str) -> dict[str, str] | None:
    """Return the texts of Qwen3-Coder's ``<parameter=name>`` elements, less one line end each.

    ``None`` where something else stands before them: then not all of it was understood.
    """
    found: dict[str, str] = {}
    before, *elements = text.split(_PARAMETER)
    if before.strip():
        return None
    for element in elements:
        name, closed, value = element.partition(">")
        if closed and name and "\n" not in name:
            found[name.strip()] = _unwrap(value.rstrip().removesuffix(_END_PARAMETER))
    return found


def pairs_in_xml(text: str) -> dict[str, str] | None:
    """Return the texts of GLM's ``<arg_key>`` and ``<arg_value>`` elements.

    ``None`` where there is anything else: a pair that is not complete is an argument lost.
    """
    if _ARG_PAIR.sub("", text).strip():
        return None
    return {name.strip(): value for name, value in _ARG_PAIR.findall(text)}


def _unwrap(value: str) -> str:
    return value.removeprefix("\n").removesuffix("\n")
