"""Which chat requests every server renders alike, so that a template here counts as it does.

Servers change what they are sent before the template sees it, each in its own way: llama.cpp
makes a developer a system message, continues an assistant's last one and keeps three keys of a
tool; vLLM keeps ``strict``; a number such as 1.0 is written in as many ways as there are JSON
writers. What is not listed here is counted by the server itself, where it can.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from stoker.tokens.counting.token_counting import Request

#: Fields of a request that no server puts into the prompt.
OUTSIDE_THE_PROMPT = frozenset(
    {
        *("model", "stream", "stream_options", "n", "stop", "seed", "user", "store", "metadata"),
        *("max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "min_p"),
        *("frequency_penalty", "presence_penalty", "repeat_penalty", "repetition_penalty"),
        *("logit_bias", "logprobs", "top_logprobs", "n_probs", "cache_prompt"),
    }
)
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_MESSAGE_KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id"})
_CALL_KEYS = frozenset({"id", "type", "function"})
#: The order of OpenAI's documentation, which is the one in which servers write tools.
_TOOL_KEYS, _FUNCTION_KEYS = ["type", "function"], ["name", "description", "parameters"]
#: Larger integers are floating point to a reader in C++.
_LARGEST_INTEGER = 2**63 - 1
#: Deeper than any tool's schema; what nests endlessly is refused elsewhere.
_MOST_LEVELS = 64


def is_plain(request: Request) -> bool:
    """Whether all that the template sees of ``request`` is written alike by every server."""
    messages, tools = request.get("messages"), request.get("tools")
    if not isinstance(messages, list) or not messages:
        return False
    if messages[-1].get("role") == "assistant" or not _are_plain_options(request):
        return False
    if not all(_is_plain_message(message, at) for at, message in enumerate(messages)):
        return False
    return tools is None or (isinstance(tools, list) and all(map(_is_plain_tool, tools)))


def _are_plain_options(request: Request) -> bool:
    others = request.keys() - OUTSIDE_THE_PROMPT - {"messages", "tools"}
    return all(request[k] is None or (k, request[k]) == ("tool_choice", "auto") for k in others)


def _is_plain_message(message: Mapping[str, Any], at: int) -> bool:
    role, content, calls = (message.get(key) for key in ("role", "content", "tool_calls"))
    if not isinstance(role, str) or role not in _ROLES or (role == "system" and at > 0):
        return False
    if any(message[key] is not None for key in message.keys() - _MESSAGE_KEYS):
        return False
    if calls is None:
        return isinstance(content, str)
    if role != "assistant" or not isinstance(calls, list) or not calls:
        return False
    return "content" in message and isinstance(content, str | None) and all(map(_is_call, calls))


def _is_call(call: object) -> bool:
    if not isinstance(call, dict) or not call.keys() <= _CALL_KEYS:
        return False
    function = call.get("function")
    if not isinstance(function, dict) or function.keys() != {"name", "arguments"}:
        return False
    if not isinstance(function["name"], str) or not isinstance(function["arguments"], str):
        return False
    try:
        arguments = json.loads(
            function["arguments"], object_pairs_hook=_each_key_once, parse_int=_as_written
        )
    except (ValueError, RecursionError):
        return False
    return isinstance(arguments, dict) and _is_plain_value(arguments)


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _as_written(digits: str) -> int:
    if digits != (number := str(int(digits))):
        raise ValueError(f"{digits} is not written back so, but as {number}")
    return int(digits)


def _is_plain_tool(tool: object) -> bool:
    if not isinstance(tool, dict) or list(tool) != _TOOL_KEYS or tool["type"] != "function":
        return False
    function = tool["function"]
    if not isinstance(function, dict) or list(function) != _FUNCTION_KEYS:
        return False
    return isinstance(function["description"], str) and _is_plain_value(function)


def _is_plain_value(value: object, levels: int = _MOST_LEVELS) -> bool:
    if levels == 0:
        return False
    if isinstance(value, dict):
        return all(_is_plain_value(v, levels - 1) for v in (*value, *value.values()))
    if isinstance(value, list):
        return all(_is_plain_value(v, levels - 1) for v in value)
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, float):
        return False
    return value is None or isinstance(value, bool) or _is_small(value)


def _is_small(value: object) -> bool:
    return isinstance(value, int) and abs(value) <= _LARGEST_INTEGER
