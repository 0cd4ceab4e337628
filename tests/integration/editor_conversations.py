"""Forty kinds of conversations that editors send and servers refuse, each with three more turns."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from typing import Any

from tests.integration.conftest import Stoker

Message = dict[str, Any]
_IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
_TEXT = {"type": "text", "text": "Look at this."}
_ITEM = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Item"}}}


def _turn_of(role: str, content: Any = "Hello.") -> Message:
    return {"role": role, "content": content}


def _call(arguments: Any = '{"a": "x"}', **fields: Any) -> Message:
    calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    return {"role": "assistant", "content": None, "tool_calls": calls, **fields}


def _tool(parameters: Any, **fields: Any) -> dict[str, Any]:
    function = {"name": "f", "description": "F.", "parameters": parameters, **fields}
    return {"type": "function", "function": function}


def _with(schema: Any) -> dict[str, Any]:
    return {"tools": [_tool({"type": "object", "properties": {"a": schema}})]}


_USER, _ANSWER = _turn_of("user"), _turn_of("assistant")
_RESULT = {"role": "tool", "tool_call_id": "c1", "content": "1"}
_TOOLS = _with({"type": "string"})
_REFERRING = {
    "tools": [
        _tool(
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/Item"}},
                "$defs": {"Item": _ITEM},
            }
        )
    ]
}

#: By name: the messages, and the other fields of the request.
KINDS: dict[str, tuple[list[Message], dict[str, Any]]] = {
    "two system messages": ([_turn_of("system"), _turn_of("system"), _USER], {}),
    "system in the middle": (
        [_turn_of("system"), _USER, _ANSWER, _turn_of("system"), _USER],
        _TOOLS,
    ),
    "system at the end": ([_USER, _ANSWER, _USER, _turn_of("system")], {}),
    "system alone": ([_turn_of("system")], {}),
    "developer": ([_turn_of("developer"), _USER], _TOOLS),
    "two users in a row": ([_USER, _USER], _TOOLS),
    "two users, one with parts": ([_USER, _turn_of("user", [_TEXT, _TEXT])], {}),
    "assistant first": ([_ANSWER, _USER], {}),
    "two assistants in a row": ([_USER, _ANSWER, _ANSWER, _USER], _TOOLS),
    "two assistants at the end": ([_USER, _ANSWER, _ANSWER], {}),
    "empty answer": ([_USER, _turn_of("assistant", ""), _USER], {}),
    "empty answer at the end": ([_USER, _turn_of("assistant", None)], {}),
    "answer without content": ([_USER, {"role": "assistant"}, _USER], {}),
    "user without content": ([_USER, _ANSWER, {"role": "user"}], {}),
    "empty parts": ([_USER, _turn_of("assistant", []), _USER], {}),
    "reasoning alone": ([_USER, {"role": "assistant", "reasoning_content": "Hm."}, _USER], {}),
    "refusal part": (
        [_USER, _turn_of("assistant", [{"type": "refusal", "refusal": "No."}]), _USER],
        {},
    ),
    "thinking part": (
        [_USER, _turn_of("assistant", [{"type": "thinking", "thinking": "Hm."}, _TEXT]), _USER],
        {},
    ),
    "unknown part": ([_turn_of("user", [{"type": "resource", "uri": "file:///a"}, _TEXT])], {}),
    "Responses parts": ([_turn_of("user", [{"type": "input_text", "text": "Hello."}])], {}),
    "null fields": ([{**_USER, "name": None}, {**_ANSWER, "audio": None}, _USER], {"stop": None}),
    "image of an earlier turn": ([_turn_of("user", [_TEXT, _IMAGE]), _ANSWER, _USER], {}),
    "image in a result": ([_USER, _call(), {**_RESULT, "content": [_TEXT, _IMAGE]}], _TOOLS),
    "cut arguments": ([_USER, _call('{"a": "x'), _RESULT], _TOOLS),
    "empty arguments": ([_USER, _call(""), _RESULT, _USER], _TOOLS),
    "null arguments": ([_USER, _call(None), _RESULT, _USER], _TOOLS),
    "arguments as an object": ([_USER, _call({"a": "x"}), _RESULT, _USER], _TOOLS),
    "result of nothing": ([_USER, _ANSWER, _RESULT, _USER], _TOOLS),
    "call without result": ([_USER, _call(), _USER], _TOOLS),
    "call at the end": ([_USER, _call()], _TOOLS),
    "text and a call apart": ([_USER, _ANSWER, _call(), _RESULT, _ANSWER, _USER], _TOOLS),
    "old functions": (
        [_USER, {"role": "assistant", "function_call": {"name": "f", "arguments": ""}}, _USER],
        {"functions": [{"name": "f"}], "function_call": "auto"},
    ),
    "no tools": ([_USER], {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}),
    "no limit": ([_USER], {"max_tokens": -1, "stop": ["a", "e", " ", "\n"]}),
    "tool without parameters": ([_USER], {"tools": [_tool(None, description=None)]}),
    "boolean schemas": ([_USER], _with({"anyOf": [True, {"items": False}]})),
    "long limits": ([_USER], _with({"type": "string", "minLength": 5000})),
    "pattern that can't be read": ([_USER], _with({"type": "string", "pattern": "^(a$"})),
    "references": ([_USER], _REFERRING),
    "demanded call with references": ([_USER], {**_REFERRING, "tool_choice": "required"}),
}


def dead(stoker: Stoker, tokens: int = 3) -> Iterator[str]:
    """The kinds of conversations that end with a refusal, and with which."""
    for name, (messages, fields) in KINDS.items():
        talk = list(messages)
        for turn in range(4):
            body = {"max_tokens": tokens, "temperature": 0, **fields, "messages": talk}
            try:
                message = stoker.post("/v1/chat/completions", body)["choices"][0]["message"]
            except urllib.error.HTTPError as refused:
                refusal = json.load(refused)["error"]["message"]
                yield f"{name}, turn {turn + 1}: {refused.code} {refusal}"
                break
            talk += [message, _turn_of("user", f"Go on, {turn}.")]
