"""The tools of Responses as functions, which is all that a chat offers, and calls of them back.

A custom tool becomes a function with one text, a function in a namespace one with a longer name.
Tools that run on OpenAI's servers, such as ``web_search``, can't run here and are not offered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from stoker.gateway.client_apis.client_api import wrong

_Value = dict[str, Any]

#: OpenAI's longest name of a function in a chat.
_NAME_CHARS = 64
_DIGEST_CHARS = 8
#: The one argument of a function that stands for a custom tool.
_INPUT = "input"
#: Codex's tool of before ``exec_command``: its fields are those of the call's ``action``.
LOCAL_SHELL = "local_shell"
_LOCAL_SHELL = {
    "name": LOCAL_SHELL,
    "description": "Runs a command on the user's machine and returns its output.",
    "parameters": {
        "type": "object",
        "properties": {
            "command": {"type": "array", "items": {"type": "string"}},
            "working_directory": {"type": "string"},
            "timeout_ms": {"type": "integer"},
        },
        "required": ["command"],
    },
}
_OF_ACTION = ("timeout_ms", "user", "working_directory")


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """One tool that the model may call, with its name in the client's request."""

    #: ``function``, ``custom`` or ``local_shell``.
    kind: str
    name: str
    namespace: str | None
    #: As a chat offers it.
    function: _Value

    @property
    def chat_name(self) -> str:
        """The name by which the model calls it."""
        return str(self.function["name"])

    def called(self, call_id: str, arguments: str) -> _Value:
        """A call of it as an item of an answer, without the item's id and status."""
        if self.kind == LOCAL_SHELL:
            action = _action(_object(arguments))
            return {"type": "local_shell_call", "call_id": call_id, "action": action}
        named: _Value = {"call_id": call_id, "name": self.name}
        if self.namespace is not None:
            named["namespace"] = self.namespace
        if self.kind == "custom":
            return {"type": "custom_tool_call", **named, "input": _input_in(arguments)}
        return {"type": "function_call", **named, "arguments": arguments}


def all_tools(body: Mapping[str, Any]) -> list[Any]:
    """The tools of a request, also those that its client found during the conversation."""
    given = body.get("input")
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    later = [item.get("tools") for item in items if item.get("type") == "additional_tools"]
    lists = [tools for tools in (body.get("tools"), *later) if isinstance(tools, list)]
    return [tool for tools in lists for tool in tools]


def offered_tools(tools: Iterable[Any]) -> tuple[list[OfferedTool], list[str]]:
    """The tools that can be offered, and the types of those that can't.

    Raises ``BadRequestError`` where one has no type or no name.
    """
    offered: list[OfferedTool] = []
    left_out: list[str] = []
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            raise wrong(where, "an object with a type")
        found = list(_functions_of(tool, where))
        offered += found
        if not found and tool["type"] != "namespace":
            left_out.append(tool["type"])
    return offered, left_out


def chat_name(name: str, namespace: object) -> str:
    """The name of a function in a chat, the same in every request for the same tool."""
    if not namespace or not isinstance(namespace, str):
        return name
    whole = f"{namespace.removesuffix('__')}__{name}"
    if len(whole) <= _NAME_CHARS:
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    return f"{whole[: _NAME_CHARS - _DIGEST_CHARS - 1]}_{digest}"


def custom_arguments(text: object) -> str:
    """The arguments of a custom tool's call as those of a function."""
    return orjson.dumps({_INPUT: text if isinstance(text, str) else ""}).decode()


def chosen(choice: Any, offered: list[OfferedTool]) -> tuple[Any, list[OfferedTool]]:
    """The choice as a chat's, and the tools that it leaves.

    A tool that is not offered can't be demanded: then the model chooses.
    """
    if not isinstance(choice, dict):
        return choice, offered
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("tools")
        names = [t for t in allowed if isinstance(t, dict)] if isinstance(allowed, list) else []
        return choice.get("mode"), [tool for tool in offered if _is_among(tool, names)]
    tool = next((tool for tool in offered if _is_meant(tool, choice)), None)
    if tool is None:
        return "auto", offered
    return {"type": "function", "function": {"name": tool.chat_name}}, offered


def _is_among(tool: OfferedTool, named: Iterable[Mapping[str, Any]]) -> bool:
    return any(_is_meant(tool, one) for one in named)


def _is_meant(tool: OfferedTool, named: Mapping[str, Any]) -> bool:
    kind, name = named.get("type"), named.get("name")
    if kind == "namespace":
        return tool.namespace == name
    if kind != tool.kind:
        return False
    return kind == LOCAL_SHELL or (name, named.get("namespace")) in (
        (tool.name, tool.namespace),
        (tool.chat_name, None),
    )


def _functions_of(tool: _Value, where: str) -> Iterator[OfferedTool]:
    kind = tool["type"]
    if kind in ("function", "custom"):
        yield _offered(tool, None, where)
    elif kind == LOCAL_SHELL:
        yield OfferedTool(kind, LOCAL_SHELL, None, _LOCAL_SHELL)
    elif kind == "namespace":
        inner, namespace = tool.get("tools"), tool.get("name")
        if not isinstance(inner, list) or not isinstance(namespace, str):
            raise wrong(where, "a namespace with a name and a list of tools")
        for one in inner:
            if isinstance(one, dict) and one.get("type") in ("function", "custom"):
                yield _offered(one, namespace, f"{where}.tools")


def _offered(tool: _Value, namespace: str | None, where: str) -> OfferedTool:
    kind, name = tool["type"], tool.get("name")
    if not isinstance(name, str) or not name:
        raise wrong(where, "a tool with a name")
    own = tool.get("parameters")
    function: _Value = {
        "name": chat_name(name, namespace),
        "description": _text(tool, "description"),
        "parameters": _one_text(tool.get("format")) if kind == "custom" else own or {},
    }
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return OfferedTool(kind, name, namespace, function)


def _one_text(form: Any) -> _Value:
    """The parameters of a custom tool: a text, in the words of its grammar where it has one."""
    text = {"type": "string", "description": "The whole input of the tool, as plain text."}
    if isinstance(form, dict) and isinstance(form.get("definition"), str):
        syntax = _text(form, "syntax") or "regex"
        text["description"] += f" It must match this {syntax} grammar:\n{form['definition']}"
    return {"type": "object", "properties": {_INPUT: text}, "required": [_INPUT]}


def _input_in(arguments: str) -> str:
    """The text that a custom tool gets: its one argument, or all of what a model wrote instead."""
    value = _object(arguments)
    texts = [text for text in (value.get(_INPUT), *value.values()) if isinstance(text, str)]
    return texts[0] if texts else arguments


def _action(arguments: Mapping[str, Any]) -> _Value:
    command, env = arguments.get("command"), arguments.get("env")
    words = command if isinstance(command, list) else ["bash", "-lc", str(command or "")]
    settings = {name: arguments[name] for name in _OF_ACTION if arguments.get(name) is not None}
    env = env if isinstance(env, dict) else {}
    return {"type": "exec", "command": [str(word) for word in words], "env": env, **settings}


def _object(arguments: str) -> _Value:
    try:
        value = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
