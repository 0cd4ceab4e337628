"""The tools of Anthropic's Messages API as functions of a chat. Pure.

Tools that the client runs are offered to the model, also those whose schema only Anthropic's models
know; tools that Anthropic's servers run can't be:
https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.gateway.client_apis.client_api import wrong

_Fields = dict[str, Any]

_TEXT = {"type": "string"}
_EDITOR = {
    "path": _TEXT,
    "file_text": {"type": "string", "description": "The whole file, for create."},
    "old_str": {"type": "string", "description": "The text to replace; it must occur once."},
    "new_str": {"type": "string", "description": "The text that replaces it."},
    "insert_line": {"type": "integer", "description": "The line to insert behind; 0 is the top."},
    "insert_text": {"type": "string", "description": "The text to insert."},
    "view_range": {
        "type": "array",
        "items": {"type": "integer"},
        "description": "The first and the last line to view.",
    },
}


def _commands(names: tuple[str, ...], more: Mapping[str, Any]) -> _Fields:
    properties = {"command": {"type": "string", "enum": list(names)}, **_EDITOR, **more}
    return {"type": "object", "properties": properties, "required": ["command"]}


#: Tools without a schema that clients run, by the beginning of their type: the description and the
#: parameters, after Anthropic's page of each.
_CLIENT_TOOLS: Mapping[str, tuple[str, _Fields]] = {
    "bash_": (
        "Run a command in a shell that keeps its state between calls.",
        {
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command to run."},
                "restart": {"type": "boolean", "description": "Start a new shell instead."},
            },
        },
    ),
    "text_editor_": (
        "View, create and change files.",
        _commands(("view", "create", "str_replace", "insert"), {}),
    ),
    "memory_": (
        "View and change the files under /memories, which last between conversations.",
        _commands(
            ("view", "create", "str_replace", "insert", "delete", "rename"),
            {"old_path": _TEXT, "new_path": _TEXT},
        ),
    ),
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def tool_fields(body: Mapping[str, Any], ignored: set[str]) -> _Fields:
    """The fields of a chat that offer these tools. Raises ``BadRequestError``."""
    given = body.get("tools")
    if given is not None and not isinstance(given, list):
        raise wrong("tools", "a list")
    found = [_tool(tool, f"tools.{number}", ignored) for number, tool in enumerate(given or ())]
    tools = [tool for tool in found if tool is not None]
    return {"tools": tools, **_choice(body.get("tool_choice"))} if tools else {}


def _tool(tool: Any, where: str, ignored: set[str]) -> _Fields | None:
    """One tool; ``None`` for one that can't be offered."""
    if not isinstance(tool, dict):
        raise wrong(where, "an object")
    if tool.get("cache_control"):
        ignored.add("cache_control")
    kind, name = tool.get("type") or "custom", tool.get("name")
    if kind != "custom":
        return _client_tool(str(kind), name, ignored)
    if not isinstance(name, str):
        raise wrong(f"{where}.name", "a text")
    function = {"name": name, "parameters": tool.get("input_schema")}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    if isinstance(tool.get("strict"), bool):
        function["strict"] = tool["strict"]
    return {"type": "function", "function": function}


def _client_tool(kind: str, name: Any, ignored: set[str]) -> _Fields | None:
    known = next((tool for start, tool in _CLIENT_TOOLS.items() if kind.startswith(start)), None)
    if known is None or not isinstance(name, str):
        ignored.add(kind)
        return None
    description, parameters = known
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def _choice(choice: Any) -> _Fields:
    if choice is None:
        return {}
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool" and isinstance(choice.get("name"), str):
        chosen: Any = {"type": "function", "function": {"name": choice["name"]}}
    elif isinstance(kind, str) and kind in _CHOICES:
        chosen = _CHOICES[kind]
    else:
        raise wrong("tool_choice", "an object of type auto, any, none, or tool with a name")
    if choice.get("disable_parallel_tool_use"):
        return {"tool_choice": chosen, "parallel_tool_calls": False}
    return {"tool_choice": chosen}
