"""Shorten what one message carries: a result, an answer, a call's arguments, attached context."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from stoker.tokens.chat_messages import (
    SYSTEM_ROLES,
    Message,
    arguments_of,
    arguments_text,
    calls_of,
    images_in,
    text_of,
)
from stoker.tokens.truncation.editor_markup import context_spans

#: The part of a shortened text that comes from its beginning; the rest comes from its end.
_HEAD_SHARE = 0.6
#: What stays of an answer and of a call's argument however much is left out: enough to see what
#: was done, and with which file.
_LEAST_ANSWER_CHARS, _LEAST_ARGUMENT_CHARS = 400, 120
#: The note that ``middle_out`` leaves.
_NOTE_CHARS = 28


class Cap(NamedTuple):
    """How far a message is shortened."""

    #: How many characters each of its texts keeps at most.
    chars: int
    #: Whether that holds for prose too: a request, and all of an answer.
    prose: bool = False


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


def shorten(message: Message, cap: Cap) -> Message:
    """Shorten what a message carries to about ``cap.chars`` characters.

    That is a tool's result, the long texts in a call's arguments, a long answer, or the context
    that an editor wraps around a request; the request itself and a system message only with
    ``cap.prose``. Arguments
    stay valid JSON with the same keys. Anything else is given back as it is.
    """
    role, content = message.get("role"), message.get("content")
    if role in {"tool", "function"}:
        return _with_content(message, _shorten_result(content, cap.chars))
    if role == "user":
        return _with_content(message, _shorten_request(content, cap))
    if role in SYSTEM_ROLES and cap.prose:
        return _with_content(message, _shorten_texts(content, cap.chars, len, _shorter))
    if role != "assistant":
        return message
    said = _shorten_texts(content, max(cap.chars, _least_answer(cap.prose)), len, _shorter)
    return _shorten_calls(_with_content(message, said), cap.chars)


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


def carried(message: Message, *, prose: bool) -> list[Carried]:
    """Return the texts that ``shorten`` may cut, to know what it saves without cutting them."""
    role, content = message.get("role"), message.get("content")
    if role in {"tool", "function"}:
        return [] if images_in(content) else [Carried(len(text_of(content)))]
    if role == "user":
        size = len if prose else _size_around
        return [Carried(sum(map(size, _texts_of(content))))]
    if role in SYSTEM_ROLES and prose:
        return [Carried(sum(map(len, _texts_of(content))))]
    if role != "assistant":
        return []
    said = Carried(sum(map(len, _texts_of(content))), least_chars=_least_answer(prose))
    return [said, *_carried_by_calls(message)]


def _least_answer(prose: bool) -> int:
    return 0 if prose else _LEAST_ANSWER_CHARS


def _carried_by_calls(message: Message) -> list[Carried]:
    texts = (text for call in calls_of(message) for text in _texts_in(arguments_of(call)))
    return [Carried(len(text), 0.5, _LEAST_ARGUMENT_CHARS) for text in texts]


def _texts_in(value: object) -> list[str]:
    """The texts in arguments, also those in lists: an editor's edits and to-do items."""
    if isinstance(value, str):
        return [value]
    inner = list(value.values()) if isinstance(value, dict) else value
    return [text for each in inner for text in _texts_in(each)] if isinstance(inner, list) else []


def _with_content(message: Message, content: object) -> Message:
    return message if content == message.get("content") else {**message, "content": content}


def _shorten_result(content: object, keep_chars: int) -> object:
    text = text_of(content)
    if len(text) <= keep_chars or images_in(content):
        return content
    return middle_out(text, keep_chars)


def _shorten_request(content: object, cap: Cap) -> object:
    if cap.prose:
        return _shorten_texts(content, cap.chars, len, _shorter)
    return _shorten_texts(content, cap.chars, _size_around, _shorten_around)


def _shorten_texts(
    content: object,
    keep_chars: int,
    size: Callable[[str], int],
    shorter: Callable[[str, float], str],
) -> object:
    """Content with the same share of each text left, ``keep_chars`` of all that may be cut."""
    total = sum(map(size, _texts_of(content)))
    if total <= keep_chars:
        return content
    share = keep_chars / total
    if isinstance(content, str):
        return shorter(content, share)
    if not isinstance(content, list):
        return content
    return [
        {**part, "text": shorter(part["text"], share)}
        if isinstance(part, dict) and isinstance(part.get("text"), str)
        else part
        for part in content
    ]


def _texts_of(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return [text for text in texts if isinstance(text, str)]


def _size_around(text: str) -> int:
    """The characters that an editor wraps around a request."""
    return sum(end - start for start, end in context_spans(text))


def _shorten_around(text: str, share: float) -> str:
    pieces: list[str] = []
    kept = 0
    for start, end in context_spans(text):
        pieces += [text[kept:start], _shorter(text[start:end], share)]
        kept = end
    return "".join([*pieces, text[kept:]])


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
    short = _shorten_value(arguments, keep)
    if short == arguments:
        return call
    arguments_json = json.dumps(short, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments_json}}


def _shorten_value(value: Any, keep_chars: int) -> Any:
    if isinstance(value, str):
        return middle_out(value, keep_chars)
    if isinstance(value, dict):
        return {key: _shorten_value(inner, keep_chars) for key, inner in value.items()}
    return [_shorten_value(v, keep_chars) for v in value] if isinstance(value, list) else value
