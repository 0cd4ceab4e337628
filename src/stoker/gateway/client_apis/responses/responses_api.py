"""OpenAI's Responses: a ``ClientApi``.

Open Responses is the same API as a standard (https://www.openresponses.org).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.gateway.client_apis.client_api import (
    ApiStream,
    Asked,
    ChatRequest,
    header_names,
    wrong,
)
from stoker.gateway.client_apis.responses import responses_events
from stoker.gateway.client_apis.responses.responses_events import ResponsesEvents
from stoker.gateway.client_apis.responses.responses_fields import check_fields
from stoker.gateway.client_apis.responses.responses_input import MessagesOfItems
from stoker.gateway.client_apis.responses.responses_tools import (
    OfferedTool,
    all_tools,
    chosen,
    offered_tools,
)

_Value = dict[str, Any]

#: What both APIs name alike, and what servers take beside OpenAI's own fields.
_SAME = frozenset(
    {
        "model",
        "stream",
        "temperature",
        "top_p",
        "parallel_tool_calls",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "seed",
        "top_k",
        "min_p",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "chat_template_kwargs",
    }
)
#: What a chat names otherwise.
_RENAMED = frozenset({"include", "max_output_tokens", "reasoning", "text", "top_logprobs"})
_LOGPROBS = "message.output_text.logprobs"


class ResponsesApi:
    """Translates requests to ``/v1/responses``, and their answers."""

    def chat_request(self, body: Mapping[str, Any]) -> ChatRequest:
        """The request as a chat request. Raises ``BadRequestError``."""
        check_fields(body)
        conversation = _conversation(body)
        offered, left_out = offered_tools(all_tools(body))
        chat = {name: body[name] for name in body if name in _SAME and body[name] is not None}
        chat["messages"] = conversation.messages
        chat.update(_of_tools(body, offered))
        chat.update(_of_settings(body))
        left_out += conversation.left_out
        ignored = header_names(left_out) if left_out else ()
        return ChatRequest(chat, ignored, may_cut=body.get("truncation") != "disabled")

    def stream(self, asked: Asked) -> ApiStream:
        """What translates one streamed answer."""
        return ResponsesEvents(asked)

    def whole(self, answer: Mapping[str, Any], asked: Asked) -> _Value:
        """A chat's whole answer as a response."""
        return responses_events.whole_output(answer, asked)

    def error(self, status: int, message: str, code: str | None) -> None:
        """Errors have OpenAI's form here too."""


def _conversation(body: Mapping[str, Any]) -> MessagesOfItems:
    conversation = MessagesOfItems()
    if body.get("instructions"):
        conversation.add_message("system", body["instructions"])
    given = body.get("input")
    if isinstance(given, str):
        conversation.add_message("user", given)
    elif isinstance(given, list):
        for index, item in enumerate(given):
            conversation.add(item, f"input[{index}]")
    elif given is not None:
        raise wrong("input", "a text or a list of items")
    conversation.end()
    if not conversation.messages:
        raise wrong("input", "a text, or a list with at least one message")
    return conversation


def _of_tools(body: Mapping[str, Any], offered: list[OfferedTool]) -> _Value:
    if not offered:
        return {}
    choice, left = chosen(body.get("tool_choice"), offered)
    tools = [{"type": "function", "function": tool.function} for tool in left]
    return {"tools": tools, "tool_choice": choice} if tools else {}


def _of_settings(body: Mapping[str, Any]) -> _Value:
    """The fields that a chat names otherwise."""
    given = {name: body[name] for name in body if name in _RENAMED and body[name] is not None}
    out: _Value = {}
    if "max_output_tokens" in given:
        out["max_tokens"] = given["max_output_tokens"]
    if "reasoning" in given and given["reasoning"].get("effort") is not None:
        out["reasoning_effort"] = given["reasoning"]["effort"]
    form = given["text"].get("format") if "text" in given else None
    if isinstance(form, dict) and form.get("type") not in (None, "text"):
        out["response_format"] = _response_format(form)
    wanted, most = given.get("include"), given.get("top_logprobs") or 0
    if most or (isinstance(wanted, list) and _LOGPROBS in wanted):
        out |= {"logprobs": True, "top_logprobs": most}
    return out


def _response_format(form: _Value) -> _Value:
    if form["type"] != "json_schema":
        return form
    schema = {name: value for name, value in form.items() if name != "type" and value is not None}
    return {"type": "json_schema", "json_schema": schema}
