"""A chat's whole answer, its usage and its errors as Anthropic's Messages API has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson

from stoker.engines.refusals import OVERFLOW
from stoker.gateway.client_apis import chat_parts
from stoker.gateway.client_apis.client_api import Asked

#: What stands for the signature of a thinking block: SDKs demand one and send it back, and some
#: leave out a block that has an empty one. The gateway takes blocks with any signature.
SIGNATURE = "stoker"
#: https://docs.anthropic.com/en/api/handling-stop-reasons
_STOP_REASONS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "refusal",
}
#: https://docs.anthropic.com/en/api/errors
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

#: The words by which clients know that the prompt does not fit; Anthropic's errors have no code.
_TOO_LONG = "prompt is too long"


def message(answer: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """The whole answer as a message."""
    choice = chat_parts.first_choice(answer)
    part = chat_parts.part_of(choice)
    reason, sequence = stop(choice, asked)
    return {
        **empty(asked),
        "content": _blocks(part, _prefill(asked.body)),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": usage(chat_parts.usage_of(answer)),
    }


def empty(asked: Asked) -> dict[str, Any]:
    """A message that has only begun, as ``message_start`` holds it."""
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage({"prompt_tokens": asked.prompt_tokens}),
    }


def usage(counts: Mapping[str, Any]) -> dict[str, int]:
    """A chat's usage. ``input_tokens`` leaves out what came from a cache, which is counted apart.

    https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
    """
    details = counts.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    prompt = _count(counts.get("prompt_tokens"))
    return {
        "input_tokens": max(0, prompt - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": min(cached, prompt),
        "output_tokens": _count(counts.get("completion_tokens")),
    }


def stop(choice: Mapping[str, Any], asked: Asked) -> tuple[str, str | None]:
    """Why the answer ended, and the stop sequence that ended it where that is known."""
    given = choice.get("finish_reason")
    sequence = chat_parts.matched_stop(choice)
    if given == "stop" and sequence in (asked.body.get("stop_sequences") or ()):
        return "stop_sequence", sequence
    return _STOP_REASONS.get(given if isinstance(given, str) else "", "end_turn"), None


def tool_use(call: Mapping[str, Any]) -> dict[str, Any]:
    """A whole call as the beginning of its block, with no arguments yet."""
    name = call["function"].get("name")
    return {"type": "tool_use", "id": call.get("id"), "name": name, "input": {}}


def error_type(status: int) -> str:
    """The name of an error that is answered with this status."""
    return _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def error(message: str, kind: str, code: str | None) -> dict[str, Any]:
    """An error, as the body of an answer or the data of an event. ``code`` is OpenAI's."""
    if code == OVERFLOW and _TOO_LONG not in message:
        message = f"{_TOO_LONG}. {message}"
    return {"type": "error", "error": {"type": kind, "message": message}}


def _blocks(part: Mapping[str, Any], prefill: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if thought := chat_parts.thought_in(part):
        blocks.append({"type": "thinking", "thinking": thought, "signature": SIGNATURE})
    # Some servers repeat the text that they were asked to go on with, if it is not streamed.
    if text := chat_parts.text_in(part).removeprefix(prefill):
        blocks.append({"type": "text", "text": text})
    for call in chat_parts.calls_in(part):
        blocks.append({**tool_use(call), "input": orjson.loads(call["function"]["arguments"])})
    return blocks


def _prefill(body: Mapping[str, Any]) -> str:
    """The text that the answer goes on with: that of a last message of the assistant."""
    last = body["messages"][-1]
    if last["role"] != "assistant":
        return ""
    content = last["content"]
    if isinstance(content, str):
        return content
    texts = [block["text"] for block in content if block.get("type") == "text"]
    return texts[0] if len(texts) == len(content) == 1 else ""


def _count(value: Any) -> int:
    return value if type(value) is int and value > 0 else 0
