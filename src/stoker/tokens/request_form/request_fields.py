"""A client's chat request in OpenAI's current form, whatever older or neighbouring form it has.

Editors send what their users' servers once took: ``functions``, tools without parameters, tools in
the form of OpenAI's Responses or Anthropic's Messages, ``max_tokens: -1``, an empty list of tools.
OpenAI's form: https://platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from stoker.tokens.chat_messages import tool_name
from stoker.tokens.request_form.normal_messages import normal_messages
from stoker.tokens.request_form.tool_schemas import plain_schema
from stoker.tokens.request_form.written_parts import normal_part

_LIMITS = ("max_tokens", "max_completion_tokens")
#: What means nothing without tools, and is refused there (vLLM 0.32: 400).
_WITH_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")
_LEGACY = ("functions", "function_call")
_ABOUT_TOOLS = frozenset({*_WITH_TOOLS, *_LEGACY})
#: Where the other forms of a tool have its schema: Anthropic's and MCP's.
_PARAMETERS = ("parameters", "input_schema", "inputSchema")
#: Mistral's word for a demanded call.
_CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


def normal_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The same request with every field in the form that servers take. Well-formed ones stay.

    A field that is null is one that was left out; so is a limit of tokens below 1.
    """
    out = without_empty_limits(request)
    if None in out.values():
        out = {name: value for name, value in out.items() if value is not None}
    out["messages"] = normal_messages(request["messages"])
    if _ABOUT_TOOLS.isdisjoint(out):
        return out
    tools = _tools(out)
    choice = _choice(out.get("tool_choice", out.get("function_call")), tools)
    parallel = False if offers_functions(out) else out.get("parallel_tool_calls")
    for name in (*_WITH_TOOLS, *_LEGACY):
        out.pop(name, None)
    if tools:
        found = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": parallel}
        out.update((name, value) for name, value in found.items() if value is not None)
    return out


def offers_functions(request: Mapping[str, Any]) -> bool:
    """Whether the tools are ``functions``, in OpenAI's form of before November 2023.

    An answer to those has one call at most, as ``function_call``.
    """
    return bool(request.get("functions")) and not request.get("tools")


def tools_left_out(request: Mapping[str, Any]) -> list[str]:
    """The types of the tools that the normal form leaves out: only a hosted service runs those."""
    tools = request.get("tools")
    if not tools:
        return []
    return [str(tool.get("type")) for tool in tools if not _is_function(tool)]


def _is_function(tool: Mapping[str, Any]) -> bool:
    """Whether it has the name by which a model calls it."""
    function = tool.get("function")
    return isinstance((function if isinstance(function, dict) else tool).get("name"), str)


def without_empty_limits(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request without limits of its answer's tokens that are null, 0 or negative.

    Clients write -1, as llama.cpp and LM Studio do, where an answer may have any length. A limit
    of 100.0, as Lua writes it, is 100. 0 is meant where a completion is to ``echo`` its prompt:
    benchmarks read the prompt's ``logprobs`` so.
    """
    out = dict(request)
    least = 0 if out.get("echo") else 1
    for name in _LIMITS:
        value = out.get(name)
        if value is not None and value >= least:
            out[name] = int(value)
        else:
            out.pop(name, None)
    return out


def _tools(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = request.get("tools") or [{"function": f} for f in request.get("functions") or ()]
    tools = (_known_tool(orjson.dumps(tool)) for tool in given)
    return [tool for tool in tools if tool is not None]


@lru_cache(maxsize=1024)
def _known_tool(tool: bytes) -> Mapping[str, Any] | None:
    """A tool's normal form; every turn of a conversation sends the same ones."""
    normal = _tool(orjson.loads(tool))
    return None if normal is None else normal_part(normal)


def _tool(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """``None`` for one that only OpenAI's own servers have, such as ``web_search``."""
    function = tool.get("function")
    if not isinstance(function, dict):
        function = {key: value for key, value in tool.items() if key != "type"}
    if not _is_function(tool):
        return None
    parameters = next((function[name] for name in _PARAMETERS if function.get(name)), None)
    kept = {k: v for k, v in function.items() if k not in _PARAMETERS[1:] and v is not None}
    known = {
        "name": kept["name"],
        # llama.cpp writes an empty description for none, vLLM the word null.
        "description": kept.get("description", ""),
        "parameters": _parameters(parameters),
    }
    others = {k: v for k, v in kept.items() if k not in known}
    return {"type": "function", "function": {**known, **others}}


def _parameters(parameters: Any) -> dict[str, Any]:
    """OpenAI's are an object's schema; none at all is an object without properties."""
    schema = plain_schema(parameters)
    if not schema:
        return {"type": "object", "properties": {}}
    return schema if schema.get("type") == "object" else {**schema, "type": "object"}


def _choice(choice: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """The choice in OpenAI's form; ``None`` where it is left to the server.

    A tool that is not offered can't be demanded, and servers refuse such a request.
    """
    if isinstance(choice, str):
        return _CHOICES.get(choice) or _named(choice, tools)
    if not isinstance(choice, dict):
        return None
    function = choice.get("function")
    name = (function if isinstance(function, dict) else choice).get("name")
    if isinstance(name, str):
        return _named(name, tools)
    allowed = choice.get("allowed_tools")
    mode = allowed.get("mode") if isinstance(allowed, dict) else choice.get("type")
    return _CHOICES.get(mode) if isinstance(mode, str) else None


def _named(name: str, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if name not in map(tool_name, tools):
        return None
    return {"type": "function", "function": {"name": name}}
