"""Offer tools to a model whose template knows none: in the prompt, in Hermes' format.

Hermes' tags are what most models have seen in training, and what ``ToolCallParser`` reads back
first. Count the emulated request, not the one that the client sent: it is what the model reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import meta
from jinja2.exceptions import TemplateError

from stoker.tokens.chat_messages import SYSTEM_ROLES, arguments_text, calls_of, text_of, tool_name
from stoker.tokens.counting.chat_template import parse_template
from stoker.tokens.request_form import join_contents, moved_schema
from stoker.tokens.tool_calls.strict_json import parse_json

_OFFER = """# Tools

You can call these functions to do what the user asks:
<tools>
{tools}
</tools>

To call a function, answer with only this, and then wait for its result:
<tool_call>
{{"name": "function name", "arguments": {{"key": "value"}}}}
</tool_call>"""
_MUST = "\n\nAnswer with a call of {which} now."
_TOOL_FIELDS = ("tools", "tool_choice", "parallel_tool_calls")


def template_has_tools(template: str) -> bool:
    """Return whether a chat template renders tool definitions."""
    try:
        return "tools" in meta.find_undeclared_variables(parse_template(template))
    except (TemplateError, RecursionError):
        return False


def emulate(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request without any tool field that means the same.

    Tools go into the system prompt, calls and results into the text of their messages. Where the
    client demands a call (``tool_choice`` ``required`` or a name), the answer is constrained.
    """
    offered = _offered(request)
    out = {key: value for key, value in request.items() if key not in _TOOL_FIELDS}
    messages = [_as_text(message) for message in request["messages"]]
    if offered:
        messages = _with_offer(messages, _offer_text(offered, request.get("tool_choice")))
    out["messages"] = _merge_neighbours(messages)
    constraint = demanded_call(request)
    if constraint is not None:
        out["response_format"] = constraint
    return out


def demanded_call(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the ``response_format`` that makes the answer a call, ``None`` where none is due.

    OpenAI's ``json_schema`` form: vLLM, llama.cpp, SGLang, TGI, Ollama and LM Studio all take it
    and constrain the answer with their own grammars.
    """
    demanded = _demanded(request)
    if not demanded:
        return None
    schema = _answer_schema(demanded)
    return {"type": "json_schema", "json_schema": {"name": "tool_call", "schema": schema}}


def _answer_schema(demanded: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A call of one of these tools, with the definitions that their parameters refer to."""
    calls, definitions = [], {}
    for number, tool in enumerate(demanded):
        parameters = tool["function"].get("parameters") or {"type": "object"}
        arguments, moved = moved_schema(parameters, f"tool{number}")
        calls.append(_call_schema(tool, arguments))
        definitions.update(moved)
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**schema, "$defs": definitions} if definitions else schema


def _call_schema(tool: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": tool_name(tool)}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _offered(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if request.get("tool_choice") == "none":
        return []
    return [tool for tool in request.get("tools") or () if tool_name(tool)]


def _demanded(request: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choice = request.get("tool_choice")
    offered = _offered(request)
    if choice == "required":
        return offered
    named = tool_name(choice)
    return [tool for tool in offered if named and tool_name(tool) == named]


def _offer_text(offered: Sequence[Mapping[str, Any]], choice: object) -> str:
    tools = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in offered)
    text = _OFFER.format(tools=tools)
    if choice == "required":
        return text + _MUST.format(which="one of these functions")
    named = tool_name(choice)
    return text + _MUST.format(which=named) if named else text


def _with_offer(messages: list[dict[str, Any]], offer: str) -> list[dict[str, Any]]:
    if messages and messages[0].get("role") in SYSTEM_ROLES:
        first = messages[0]
        content = join_contents(first.get("content"), offer, "\n\n")
        return [{**first, "content": content}, *messages[1:]]
    return [{"role": "system", "content": offer}, *messages]


def _as_text(message: Mapping[str, Any]) -> dict[str, Any]:
    role = message.get("role")
    if role in {"tool", "function"}:
        return {"role": "user", "content": _result(message.get("content"))}
    calls = calls_of(message)
    if not calls:
        return dict(message)
    written = "\n".join(_call_text(call) for call in calls)
    kept = {k: v for k, v in message.items() if k not in {"tool_calls", "function_call"}}
    return {**kept, "content": join_contents(message.get("content"), written)}


def _result(content: object) -> Any:
    """A tool's result as the user's words; its images, if any, follow the text."""
    text = f"<tool_response>\n{text_of(content)}\n</tool_response>"
    parts = content if isinstance(content, list) else []
    media = [part for part in parts if isinstance(part, dict) and part.get("type") != "text"]
    return join_contents(text, media)


def _call_text(call: Mapping[str, Any]) -> str:
    arguments = parse_json(arguments_text(call))
    body = {"name": call.get("name"), "arguments": arguments if arguments is not None else {}}
    return f"<tool_call>\n{json.dumps(body, ensure_ascii=False)}\n</tool_call>"


def _merge_neighbours(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join user messages that follow each other: templates refuse two in a row."""
    out: list[dict[str, Any]] = []
    for message in messages:
        last = out[-1] if out else {}
        if last.get("role") == message.get("role") == "user":
            content = join_contents(last.get("content"), message.get("content"))
            out[-1] = {**last, "content": content}
        else:
            out.append(message)
    return out
