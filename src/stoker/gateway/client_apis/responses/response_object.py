"""A response as an object: its items, its usage, and what it repeats of its request.

Clients read it with strict types, so every field that OpenAI and Open Responses
(https://www.openresponses.org/specification) require is there, with its default where the request
leaves it out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stoker.gateway.client_apis import chat_parts
from stoker.gateway.client_apis.client_api import Asked
from stoker.gateway.client_apis.responses.responses_tools import (
    OfferedTool,
    all_tools,
    offered_tools,
)
from stoker.gateway.usage.usage_report import UsageReport

_Value = dict[str, Any]

#: What a response repeats of its request, and its value where the request leaves it out. By
#: default a prompt that is too long is cut, which is what ``auto`` means.
_REPEATED: Mapping[str, Any] = {
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "auto",
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
#: What is the same in every response: none is stored, and none is made in the background.
_FIXED: Mapping[str, Any] = {
    "background": False,
    "previous_response_id": None,
    "service_tier": "default",
    "store": False,
}
#: The fields of a function that clients require, also where the request leaves them out.
_FUNCTION = {"description": None, "parameters": None, "strict": None}
#: Finish reasons of a chat for which an answer is not complete, in the words of Responses.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponseObject:
    """One answer as it is reported at its beginning and at its end."""

    def __init__(self, asked: Asked) -> None:
        self._key = secrets.token_hex(16)
        self._asked = asked
        self._tools: dict[str, OfferedTool] | None = None
        body = asked.body
        given = {n: _written(body[n]) for n in _REPEATED if body.get(n) is not None}
        self._fixed: _Value = {
            "id": f"resp_{self._key}",
            "object": "response",
            "created_at": int(time.time()),
            "model": asked.model,
            **_REPEATED,
            **_FIXED,
            **given,
            "instructions": _written(body.get("instructions")),
            "tools": _written(list(map(_tool, body.get("tools") or ()))),
        }

    def item_id(self, prefix: str, index: int) -> str:
        """The id of the item at this place of the answer."""
        return f"{prefix}_{self._key}{index:02d}"

    def call(self, call: Mapping[str, Any]) -> _Value:
        """A chat's call as an item, without its id and status, as the client offered the tool."""
        function = call["function"]
        name, arguments = str(function.get("name")), str(function.get("arguments"))
        if self._tools is None:
            offered, _ = offered_tools(all_tools(self._asked.body))
            self._tools = {tool.chat_name: tool for tool in offered}
        tool = self._tools.get(name) or OfferedTool("function", name, None, {})
        return tool.called(str(call.get("id")), arguments)

    def begun(self) -> _Value:
        """The response when its answer begins."""
        return self._response("in_progress", ())

    def ended(
        self, finish_reason: str | None, output: Sequence[_Value], usage: _Value | None
    ) -> _Value:
        """The response with its whole answer."""
        reason = _INCOMPLETE.get(finish_reason or "")
        if reason:
            details = {"reason": reason}
            return self._response("incomplete", output, usage=usage, incomplete_details=details)
        now = int(time.time())
        return self._response("completed", output, usage=usage, completed_at=now)

    def failed(self, message: str, code: str, output: Sequence[_Value]) -> _Value:
        """The response with what there is of an answer that broke off."""
        return self._response("failed", output, error={"code": code, "message": message})

    def _response(self, status: str, output: Sequence[_Value], **fields: Any) -> _Value:
        state: _Value = {
            "status": status,
            "output": output,
            "usage": None,
            "error": None,
            "incomplete_details": None,
            "completed_at": None,
        }
        return {**self._fixed, **state, **fields}


def item_status(finish_reason: str | None) -> str:
    """The status of the last item of an answer that ended for this reason."""
    return "incomplete" if finish_reason in _INCOMPLETE else "completed"


def usage_in(answer: Mapping[str, Any]) -> _Value | None:
    """The usage that a chat's answer or chunk reports, in the words of Responses."""
    report = UsageReport()
    report.note(answer)
    counts = report.usage
    if not counts:
        return None
    prompt, completion = counts.get("prompt_tokens", 0), counts.get("completion_tokens", 0)
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": report.cached_tokens or 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": _reasoning_tokens(answer)},
        "total_tokens": prompt + completion,
    }


def reasoning_item(item_id: str, text: str, status: str) -> _Value:
    """An item of thinking."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    item = {"id": item_id, "type": "reasoning", "summary": [], "content": content}
    return {**item, "encrypted_content": None, "status": status}


def message_item(item_id: str, content: Sequence[_Value], status: str) -> _Value:
    """An item of text."""
    item = {"id": item_id, "type": "message", "role": "assistant"}
    return {**item, "content": content, "status": status}


def text_part(text: str, logprobs: Sequence[Any] = ()) -> _Value:
    """The content of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}


def logprobs_in(choice: Mapping[str, Any]) -> list[Any]:
    """The log probabilities of the tokens of a choice, whole or streamed."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return content if isinstance(content, list) else []


def _written(value: Any) -> orjson.Fragment:
    """A part of the request as JSON, written once: it is sent three times in a stream, tools take
    40 KB, and within a response it might nest too deeply to be written.
    """
    return orjson.Fragment(orjson.dumps(value))


def _tool(tool: Any) -> Any:
    return {**_FUNCTION, **tool} if tool.get("type") == "function" else tool


def _reasoning_tokens(answer: Mapping[str, Any]) -> int:
    details = chat_parts.usage_of(answer).get("completion_tokens_details")
    count = details.get("reasoning_tokens") if isinstance(details, dict) else None
    return count if isinstance(count, int) else 0
