"""Shorten what one message carries: a result, an answer, a call's arguments, attached context."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from stoker.tokens.chat_messages import (
    Message,
    arguments_of,
    arguments_text,
    calls_of,
    images_in,
    text_of,
)
from stoker.tokens.truncation.editor_markup import TAGGED_REQUEST, around_requests

#: The part of a shortened text that comes from its beginning; the rest comes from its end.
_HEAD_SHARE = 0.6
#: What stays of an answer and of a call's argument however much is left out: enough to see what
#: was done, and with which file.
_LEAST_ANSWER_CHARS, _LEAST_ARGUMENT_CHARS = 400, 120
#: The note that ``middle_out`` leaves.
_NOTE_CHARS = 28


def middle_out(text: str, keep_chars: int) -> str:
    """Shorten ``text`` to about ``keep_chars`` characters, keeping its beginning and its end.

    Whole lines are kept where that costs less than a third of the room. With 0 a note stands for
    the text. A text that this would not shorten is given back as it is. The same text and the
    same length give the same result, whatever else the request holds.
    """
    if len(text) <= keep_chars:
        return text
    head_end = int(keep_chars * _HEAD_SHARE)
    tail_start = len(text) - (keep_chars - head_end)
    newline = text.rfind("\n", head_end * 2 // 3, head_end)
    head_end = newline + 1 if newline >= 0 else head_end
    newline = text.find("\n", tail_start, tail_start + (len(text) - tail_start) // 3)
    tail_start = newline + 1 if newline >= 0 else tail_start
    left_out = text[head_end:tail_start]
    lines = left_out.count("\n")
    what = f"{lines} lines" if lines else f"{len(left_out)} characters"
    marker = f"[... {what} left out ...]\n"
    separator = "" if head_end == 0 or text[head_end - 1] == "\n" else "\n"
    short = f"{text[:head_end]}{separator}{marker}{text[tail_start:]}"
    return short if len(short) < len(text) else text


def shorten(message: Message, keep_chars: int) -> Message:
    """Shorten what a message carries to about ``keep_chars`` characters.

    That is a tool's result, the long texts in a call's arguments, a long answer, or the context
    that an editor wraps around a request: never the request itself. Arguments stay valid JSON
    with the same keys. Anything else is given back as it is.
    """
    role, content = message.get("role"), message.get("content")
    if role in {"tool", "function"}:
        return _with_content(message, _shorten_result(content, keep_chars))
    if role == "user":
        return _with_content(message, _shorten_context(content, keep_chars))
    if role != "assistant":
        return message
    keep_words = max(keep_chars, _LEAST_ANSWER_CHARS)
    said = middle_out(content, keep_words) if isinstance(content, str) else content
    return _shorten_calls(_with_content(message, said), keep_chars)


@dataclass(frozen=True, slots=True)
class Carried:
    """A text that ``shorten`` may cut: its length, and what stays of it."""

    chars: int
    #: Of the characters that a message keeps, those that this text keeps.
    share: float = 1.0
    least_chars: int = 0

    def kept(self, keep_chars: int) -> int:
        """About how many characters ``shorten(message, keep_chars)`` leaves of it."""
        room = max(int(keep_chars * self.share), self.least_chars)
        return self.chars if self.chars <= room + _NOTE_CHARS else room + _NOTE_CHARS


def carried(message: Message) -> list[Carried]:
    """Return the texts that ``shorten`` may cut, to know what it saves without cutting them."""
    role, content = message.get("role"), message.get("content")
    if role in {"tool", "function"}:
        return [] if images_in(content) else [Carried(len(text_of(content)))]
    if role == "user":
        texts = [t for t in _texts_of(content) if TAGGED_REQUEST.search(t)]
        return [Carried(sum(len(piece) for t in texts for piece in around_requests(t)))]
    if role != "assistant":
        return []
    said = len(content) if isinstance(content, str) else 0
    return [Carried(said, least_chars=_LEAST_ANSWER_CHARS), *_carried_by_calls(message)]


def _carried_by_calls(message: Message) -> list[Carried]:
    arguments = (arguments_of(call) or {} for call in calls_of(message))
    values = (value for given in arguments for value in given.values())
    texts = (value for value in values if isinstance(value, str))
    return [Carried(len(text), 0.5, _LEAST_ARGUMENT_CHARS) for text in texts]


def _with_content(message: Message, content: object) -> Message:
    return message if content == message.get("content") else {**message, "content": content}


def _shorten_result(content: object, keep_chars: int) -> object:
    text = text_of(content)
    if len(text) <= keep_chars or images_in(content):
        return content
    return middle_out(text, keep_chars)


def _shorten_context(content: object, keep_chars: int) -> object:
    """A user's message with its request whole, and what an editor wraps around it shortened."""
    texts = [text for text in _texts_of(content) if TAGGED_REQUEST.search(text)]
    around = sum(len(piece) for text in texts for piece in around_requests(text))
    if around <= keep_chars:
        return content
    share = keep_chars / around
    if isinstance(content, str):
        return _shorten_around(content, share)
    if not isinstance(content, list):
        return content
    return [
        {**part, "text": _shorten_around(part["text"], share)}
        if isinstance(part, dict) and part.get("text") in texts
        else part
        for part in content
    ]


def _texts_of(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return [text for text in texts if isinstance(text, str)]


def _shorten_around(text: str, share: float) -> str:
    pieces: list[str] = []
    end = 0
    for match in TAGGED_REQUEST.finditer(text):
        pieces += [_shorter(text[end : match.start()], share), match.group()]
        end = match.end()
    return "".join([*pieces, _shorter(text[end:], share)])


def _shorter(text: str, share: float) -> str:
    return middle_out(text, int(len(text) * share))


def _shorten_calls(message: Message, keep_chars: int) -> Message:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    shortened = [_shorten_call(call, keep_chars) for call in calls]
    if all(new is old for new, old in zip(shortened, calls, strict=True)):
        return message
    return {**message, "tool_calls": shortened}


def _shorten_call(call: Any, keep_chars: int) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return call
    if len(arguments_text(function)) <= max(keep_chars, _LEAST_ARGUMENT_CHARS):
        return call
    arguments = arguments_of(function)
    if arguments is None:
        return call
    keep = max(keep_chars // 2, _LEAST_ARGUMENT_CHARS)
    short = {k: middle_out(v, keep) if isinstance(v, str) else v for k, v in arguments.items()}
    if short == arguments:
        return call
    arguments_json = json.dumps(short, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments_json}}
