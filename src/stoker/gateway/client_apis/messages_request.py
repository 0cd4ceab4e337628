"""A request of Anthropic's Messages API as a chat request. Pure.

The fields: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stoker.gateway.client_apis import messages_content, messages_tools
from stoker.gateway.client_apis.client_api import ChatRequest, header_names, wrong

_Body = dict[str, Any]

#: What a chat has under the same name.
_SAME = ("model", "stream", "temperature", "top_p", "top_k")
#: What is translated below, by name.
_TRANSLATED = frozenset(
    {
        *_SAME,
        "max_tokens",
        "messages",
        "metadata",
        "output_config",
        "output_format",
        "stop_sequences",
        "system",
        "tool_choice",
        "tools",
    }
)
#: Anthropic's degrees of effort in OpenAI's words.
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
#: OpenAI's longest ``user``: https://platform.openai.com/docs/api-reference/chat/create
_USER_CHARS = 64
_ROLES = ("user", "assistant", "system")
#: What Claude Code writes before its instructions, for Anthropic's billing. It differs in every
#: request, so that no server would find the prompt in its cache.
_BILLING = "x-anthropic-billing-header:"


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """The request as a chat request, and what of it is ignored. Raises ``BadRequestError``."""
    ignored = {name for name, value in body.items() if name not in _TRANSLATED and value}
    chat: _Body = {name: body[name] for name in _SAME if body.get(name) is not None}
    chat["messages"] = _messages(body, ignored)
    chat |= _limits(body) | _identity(body, ignored) | _format(body, ignored)
    chat |= messages_tools.tool_fields(body, ignored)
    return ChatRequest(chat, header_names(sorted(ignored)))


def _messages(body: Mapping[str, Any], ignored: set[str]) -> list[_Body]:
    given = body.get("messages")
    if not isinstance(given, list) or not given:
        raise wrong("messages", "a list with at least one message")
    out = _system(body.get("system"), ignored)
    last_turn = _start_of_last_turn(given)
    for number, message in enumerate(given):
        where = f"messages.{number}"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise wrong(where, "an object with the role user or assistant")
        content = messages_content.blocks(message.get("content"), f"{where}.content", ignored)
        if message["role"] == "assistant":
            out.append(messages_content.assistant_message(content, f"{where}.content"))
        else:
            read = messages_content.user_messages(
                message["role"], content, f"{where}.content", is_asked=number >= last_turn
            )
            out += read
    return out


def _start_of_last_turn(messages: Iterable[Any]) -> int:
    """The number of the first message behind the last one of the assistant."""
    start = 0
    for number, message in enumerate(messages):
        if isinstance(message, dict) and message.get("role") == "assistant":
            start = number + 1
    return start


def _system(system: Any, ignored: set[str]) -> list[_Body]:
    if system is None:
        return []
    found = messages_content.blocks(system, "system", ignored)
    texts = [messages_content.text_of(block, "system") for block in found]
    text = "\n\n".join(text for text in texts if text and not text.startswith(_BILLING))
    return [{"role": "system", "content": text}] if text else []


def _limits(body: Mapping[str, Any]) -> _Body:
    """The limit of the answer, and the texts that end it."""
    out: _Body = {}
    limit = body.get("max_tokens")
    if limit is not None:
        # 0 asks that the prompt be read and nothing answered: no chat has that, so one token.
        out["max_tokens"] = 1 if limit == 0 else limit
    stops = body.get("stop_sequences")
    if stops is not None and not (isinstance(stops, list) and all(map(_is_text, stops))):
        raise wrong("stop_sequences", "a list of texts")
    if stops:
        out["stop"] = stops
    return out


def _identity(body: Mapping[str, Any], ignored: set[str]) -> _Body:
    metadata = body.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise wrong("metadata", "an object")
    user = metadata.get("user_id")
    if user is None:
        return {}
    if _is_text(user) and len(user) <= _USER_CHARS:
        return {"user": user}
    ignored.add("metadata")
    return {}


def _format(body: Mapping[str, Any], ignored: set[str]) -> _Body:
    """How the model is to write: its effort, and the schema of its answer."""
    config = body.get("output_config")
    if config is not None and not isinstance(config, dict):
        raise wrong("output_config", "an object")
    config = config or {}
    out: _Body = {}
    effort = config.get("effort")
    if _is_text(effort) and effort in _EFFORTS:
        out["reasoning_effort"] = _EFFORTS[effort]
    asked = config.get("format") or body.get("output_format")
    if asked is None:
        return out
    schema = asked.get("schema") if isinstance(asked, dict) else None
    if isinstance(schema, dict):
        named = {"name": "answer", "schema": schema, "strict": True}
        return {**out, "response_format": {"type": "json_schema", "json_schema": named}}
    ignored.add("output_format")
    return out


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
