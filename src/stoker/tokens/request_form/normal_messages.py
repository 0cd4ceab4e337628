"""The messages of a chat in one form, without what models got wrong and clients left out.

A conversation that holds one message which a server can't read is dead: every later request sends
it again. What llama.cpp b11549 refuses for ever: a message without ``content``, arguments that are
no JSON, a null where a text is due, parts of a type that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stoker.tokens.chat_messages import text_of
from stoker.tokens.request_form.call_parts import taken_out
from stoker.tokens.request_form.written_parts import WrittenPart, new_at, normal_part

Message = Mapping[str, Any]

#: OpenAI's newer and older names of roles, and those of other APIs.
_ROLES = {
    "developer": "system",
    "function": "tool",
    "human": "user",
    "model": "assistant",
    "ai": "assistant",
}
_TEXTS = frozenset({"text", "input_text", "output_text"})
#: Parts of a model's reasoning, as Anthropic and Mistral write them. Templates read it elsewhere.
_REASONING = frozenset({"thinking", "reasoning", "redacted_thinking"})
#: Keys and roles of messages that are normal as they are: almost all of the thousand messages of a
#: long conversation, which come again with every request.
_PLAIN_KEYS = frozenset({"role", "content", "tool_call_id", "tool_calls"})
_PLAIN_ROLES = frozenset({"system", "user", "assistant", "tool"})
#: Where a call has its arguments: OpenAI's, Anthropic's and LangChain's names.
_ARGUMENTS = ("arguments", "input", "args")
_IN_FUNCTION = frozenset({"function", "custom", "name", *_ARGUMENTS})
_ADDRESSED = frozenset({"image_url", "audio_url", "video_url"})
_MEDIA = _ADDRESSED | {"input_audio"}


def normal_messages(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The messages, each with a role that templates know, content and whole calls.

    All are ``WrittenPart`` but those that nest too deeply to be written.
    """
    at = new_at(messages)
    known, new = messages[:at], messages[at:]
    if all(map(_is_settled, new)):
        return _without_empty_end([*known, *(normal_part(each, is_known=True) for each in new)])
    given = {id(message) for message in new}
    found = [_message(message, index) for index, message in enumerate(taken_out(new), at)]
    if any(message["role"] == "tool" and "tool_call_id" not in message for message in found):
        found = _answered_by_id([*known, *found])[at:]
    return _without_empty_end([*known, *(_written(m, id(m) in given) for m in found)])


def _without_empty_end(messages: list[Message]) -> list[Message]:
    """An answer that failed before its first word: a server would go on writing it."""
    while len(messages) > 1 and _is_empty_answer(messages[-1]):
        messages.pop()
    return messages


def _is_settled(message: Message) -> bool:
    """Whether it is in normal form whatever stands before it: a result that has its id."""
    return _is_plain(message) and (message["role"] != "tool" or "tool_call_id" in message)


def _written(message: Message, came_so: bool) -> Message:
    # Without an id, what a result answers is a matter of the messages before it.
    is_known = came_so and (message["role"] != "tool" or "tool_call_id" in message)
    return normal_part(message, is_known=is_known)


def _message(message: Message, index: int) -> Message:
    """The message in normal form: itself where it is so already."""
    if type(message) is WrittenPart or _is_plain(message):
        return message
    out: dict[str, Any] = {key: value for key, value in message.items() if value is not None}
    given = message["role"].lower()
    role = out["role"] = _ROLES.get(given, given)
    if isinstance(out.get("tool_call_id"), int):
        out["tool_call_id"] = str(out["tool_call_id"])
    calls = _calls(out, index)
    for name in ("tool_calls", "function_call"):
        out.pop(name, None)
    out["content"], reasoning = _content(message)
    if role == "assistant":
        if reasoning and "reasoning_content" not in out:
            out["reasoning_content"] = reasoning
        if calls:
            out["tool_calls"] = calls
    if out["content"] is None and "tool_calls" not in out:
        refusal = message.get("refusal")
        out["content"] = refusal if isinstance(refusal, str) else ""
    return message if out == message else out


def _is_plain(message: Mapping[str, Any]) -> bool:
    content = message.get("content", ...)
    return (
        message.keys() <= _PLAIN_KEYS
        and message["role"] in _PLAIN_ROLES
        and (type(content) is str or (content is None and "tool_calls" in message))
        and type(message.get("tool_call_id", "")) is str
        and ("tool_calls" not in message or _calls_plainly(message))
    )


def _calls_plainly(message: Mapping[str, Any]) -> bool:
    calls = message["tool_calls"]
    if not isinstance(calls, list) or not calls or message["role"] != "assistant":
        return False
    return all(map(_is_plain_call, calls))


def _is_plain_call(call: Mapping[str, Any]) -> bool:
    function = call.get("function")
    if not isinstance(function, dict) or call.get("type") != "function":
        return False
    arguments = function.get("arguments")
    named = type(call.get("id")) is str and type(function.get("name")) is str
    return named and None not in call.values() and _arguments(arguments) is arguments


def _content(message: Mapping[str, Any]) -> tuple[Any, str]:
    """The content that can be read, and the reasoning that stood in it."""
    content = message.get("content")
    if isinstance(content, dict):  # one part, or what a tool returned
        is_part = isinstance(content.get("type"), str)
        content = [content] if is_part else orjson.dumps(content).decode()
    if isinstance(content, bool | int | float):  # what a tool returned, as JSON
        content = orjson.dumps(content).decode()
    if not isinstance(content, list):
        return content, ""
    reasoning = [_reasoning(part) for part in content if part.get("type") in _REASONING]
    parts = [_part(part) for part in content if part.get("type") not in _REASONING]
    return parts or "", "\n".join(text for text in reasoning if text)


def _reasoning(part: Mapping[str, Any]) -> str:
    thought = part.get("thinking") or part.get("reasoning") or part.get("text")
    return text_of(thought)


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text" and isinstance(part.get("text"), str):
        return part
    if kind in _TEXTS or (kind is None and "text" in part):
        return {"type": "text", "text": part.get("text") or ""}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal") or "")}
    media = _media(part)
    if media is not None:
        return media
    said = part.get("text") or f"[A part of type {kind!r} was left out: it can't be sent on.]"
    return {"type": "text", "text": said}


def _media(part: dict[str, Any]) -> dict[str, Any] | None:
    """An image, sound or video as a chat has it; ``None`` where there is none, or nothing of it."""
    kind = part.get("type")
    content = part.get(kind) if kind in _MEDIA else None
    if isinstance(content, dict):
        return part
    if isinstance(content, str) and kind in _ADDRESSED:  # as Mistral's API has it
        return {"type": kind, kind: {"url": content}}
    url = _image_url(part)
    return None if url is None else {"type": "image_url", "image_url": {"url": url}}


def _image_url(part: Mapping[str, Any]) -> str | None:
    """The address of an image in the form of OpenAI's Responses or Anthropic's Messages."""
    url, source = part.get("image_url"), part.get("source")
    inline = part.get("image")
    if part.get("type") == "image" and isinstance(inline, str) and inline.startswith("data:"):
        return inline  # the form of Qwen's and Hugging Face's processors
    if part.get("type") == "input_image" and isinstance(url, str):
        return url
    if part.get("type") != "image" or not isinstance(source, dict):
        return None
    if isinstance(source.get("data"), str):
        return f"data:{source.get('media_type', 'image/png')};base64,{source['data']}"
    return source["url"] if isinstance(source.get("url"), str) else None


def _calls(message: Mapping[str, Any], index: int) -> list[dict[str, Any]]:
    calls = message.get("tool_calls")
    if not calls:
        legacy = message.get("function_call")
        calls = [{"function": legacy}] if isinstance(legacy, dict) and legacy.get("name") else []
    listed = [calls] if isinstance(calls, dict) else calls
    return [_call(call, f"call_{index}_{number}") for number, call in enumerate(listed)]


def _call(call: Mapping[str, Any], new_id: str) -> dict[str, Any]:
    """A call in OpenAI's form, from that or from one with its fields at the top.

    A ``custom`` tool takes a text, which is its ``input`` here.
    """
    function = call.get("function", call.get("custom", call))
    if not isinstance(function, dict):
        function = {**call, "name": function}
    given = next((function[key] for key in _ARGUMENTS if key in function), None)
    if "custom" in call:
        given = {"input": given}
    kept = {k: v for k, v in call.items() if v is not None and k not in _IN_FUNCTION}
    own = function if "function" in call and function is call["function"] else {}
    if isinstance(kept.get("id"), int):
        kept["id"] = str(kept["id"])
    written = {**own, "name": function["name"], "arguments": _arguments(given)}
    return {"id": new_id, **kept, "type": "function", "function": written}


def _arguments(arguments: Any) -> str:
    """The JSON of an object. What a model wrote is kept as text where it is no such JSON.

    It may be cut off or empty: an answer that ended at ``max_tokens`` stays in the history, and
    the model reads there what it got wrong.
    """
    if isinstance(arguments, dict):
        return orjson.dumps(arguments).decode()
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return "{}"
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _loosely_read(text)
    else:
        if isinstance(value, dict):
            return text
    if isinstance(value, str):  # JSON within JSON
        value = _loosely_read(value)
    try:
        return orjson.dumps(value if isinstance(value, dict) else {"arguments": text}).decode()
    except orjson.JSONEncodeError:  # half of a surrogate pair
        return orjson.dumps({"arguments": text}).decode()


def _loosely_read(text: str) -> Any:
    """The value of JSON as models write it: line ends within strings, NaN, Infinity."""
    try:
        return json.loads(text, strict=False, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None


def _answered_by_id(messages: Sequence[Message]) -> list[Message]:
    """The messages; results get the id of the call that they answer, if a client left it out."""
    out: list[Message] = []
    unanswered: list[tuple[str, str]] = []
    for given in messages:
        message = _with_id(given, unanswered) if given["role"] == "tool" else given
        out.append(message)
        if message.get("tool_calls"):
            calls = message["tool_calls"]
            unanswered = [(call["id"], call["function"].get("name", "")) for call in calls]
        elif message["role"] == "tool":
            unanswered = [call for call in unanswered if call[0] != message.get("tool_call_id")]
    return out


def _with_id(result: Message, unanswered: Sequence[tuple[str, str]]) -> Message:
    if "tool_call_id" in result or not unanswered:
        return result
    named = (call for call in unanswered if call[1] == result.get("name"))
    return {**result, "tool_call_id": next(named, unanswered[0])[0]}


def _is_empty_answer(message: Message) -> bool:
    if message["role"] != "assistant" or message.get("tool_calls"):
        return False
    content = message["content"]
    said = content if isinstance(content, str) else text_of(content)
    return not said.strip() and not message.get("reasoning_content")
