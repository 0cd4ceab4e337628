"""Read a conversation as units that may be kept, shortened or dropped only as a whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.truncation.tool_ranking import TAGGED_REQUEST

Message = Mapping[str, Any]

SYSTEM_ROLES = frozenset({"system", "developer"})
#: What stands for one image while nothing better is known. Qwen2.5-VL makes 4 to 16,384 tokens
#: of one, by its size; 1,280 is a screenshot of 1,000 by 1,000 pixels at 28 x 28 a token.
IMAGE_TOKENS = 1280
#: The part of a shortened text that comes from its beginning; the rest comes from its end.
_HEAD_SHARE = 0.6
#: What stays of an answer and of a call's argument however much is left out: enough to know what
#: was done, and with which file.
_LEAST_ANSWER_CHARS, _LEAST_ARGUMENT_CHARS = 400, 120
#: What outlives the first message: VS Code's system, folders and memory are 1,100 characters for
#: a small workspace, and its list of files grows to some thousands.
_MOST_CONTEXT_CHARS = 2000
#: The note that ``middle_out`` leaves.
_NOTE_CHARS = 28


_TAGGED_BLOCK = re.compile(r"<([A-Za-z][\w-]*)(?: [^<>]*)?>.*?</\1>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Unit:
    """Messages ``start`` to ``end`` (exclusive) that stand or fall together.

    A user message is a unit; so is an assistant message with all results of its tool calls.
    """

    start: int
    end: int
    role: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request: the leading system messages, then units."""

    messages: tuple[Message, ...]
    #: How many leading messages are system or developer messages.
    head: int
    units: tuple[Unit, ...]

    def last_user(self, before: int | None = None) -> int | None:
        """Return the index of the last user unit among the first ``before`` units."""
        for index in reversed(range(len(self.units) if before is None else before)):
            if self.units[index].role == "user":
                return index
        return None


def read(messages: Sequence[Message]) -> Conversation:
    """Split ``messages`` into the leading system messages and units."""
    head = 0
    while head < len(messages) and messages[head].get("role") in SYSTEM_ROLES:
        head += 1
    units: list[Unit] = []
    start = head
    while start < len(messages):
        end = start + 1
        while end < len(messages) and messages[end].get("role") in {"tool", "function"}:
            end += 1
        units.append(Unit(start, end, str(messages[start].get("role", ""))))
        start = end
    return Conversation(tuple(messages), head, tuple(units))


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def images_in(content: object) -> int:
    """Return how many parts of a message's content are not text."""
    if not isinstance(content, list):
        return 0
    return sum(1 for part in content if isinstance(part, dict) and "text" not in part)


def calls_of(message: Message) -> list[Mapping[str, Any]]:
    """Return the functions that a message calls, each with ``name`` and ``arguments``."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return []
    functions = (call.get("function") for call in calls if isinstance(call, dict))
    return [function for function in functions if isinstance(function, dict)]


def arguments_text(function: Mapping[str, Any]) -> str:
    """Return a call's arguments as JSON text, whichever way the client sent them."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)


def piece_of(message: Message) -> str:
    """Return the text that a template makes tokens of, without the template's own words."""
    text = text_of(message.get("content"))
    reasoning = message.get("reasoning_content")
    if isinstance(reasoning, str):
        text = f"{reasoning}\n{text}"
    calls = calls_of(message)
    if not calls:
        return text
    parts = (f"{call.get('name', '')} {_arguments_as_rendered(call)}" for call in calls)
    return "\n".join((text, *parts)) if text else "\n".join(parts)


def _arguments_as_rendered(function: Mapping[str, Any]) -> str:
    """A call's arguments as templates write them: Python clients escape what is not ASCII."""
    text = arguments_text(function)
    arguments = _arguments(function) if "\\u" in text else None
    return text if arguments is None else json.dumps(arguments, ensure_ascii=False)


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
        return [Carried(sum(len(piece) for t in texts for piece in _around_requests(t)))]
    if role != "assistant":
        return []
    said = len(content) if isinstance(content, str) else 0
    return [Carried(said, least_chars=_LEAST_ANSWER_CHARS), *_carried_by_calls(message)]


def _carried_by_calls(message: Message) -> list[Carried]:
    arguments = (_arguments(call) or {} for call in calls_of(message))
    values = (value for given in arguments for value in given.values())
    texts = (value for value in values if isinstance(value, str))
    return [Carried(len(text), 0.5, _LEAST_ARGUMENT_CHARS) for text in texts]


def _arguments(function: Mapping[str, Any]) -> dict[str, Any] | None:
    """A call's arguments; ``None`` where they are no JSON object."""
    try:
        arguments = json.loads(arguments_text(function))
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


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
    around = sum(len(piece) for text in texts for piece in _around_requests(text))
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


def _around_requests(text: str) -> list[str]:
    """What stands before, between and behind the requests in a text."""
    ends = [0, *(at for match in TAGGED_REQUEST.finditer(text) for at in match.span()), len(text)]
    return [text[start:end] for start, end in zip(ends[::2], ends[1::2], strict=True)]


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
    arguments = _arguments(function)
    if arguments is None:
        return call
    keep = max(keep_chars // 2, _LEAST_ARGUMENT_CHARS)
    short = {k: middle_out(v, keep) if isinstance(v, str) else v for k, v in arguments.items()}
    if short == arguments:
        return call
    arguments_json = json.dumps(short, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments_json}}


def standing_context(conversation: Conversation) -> str:
    """Return what editors write into the first message of a chat and not again.

    VS Code names the system and the folders of the workspace there: a model that has lost them
    no longer knows where the files are. These are the tagged blocks of the first user message
    that the second one lacks, without the request. Empty where there is no second one.
    """
    users = [u.start for u in conversation.units if u.role == "user"][:2]
    if len(users) < 2:
        return ""
    first, second = (text_of(conversation.messages[at].get("content")) for at in users)
    blocks = _TAGGED_BLOCK.finditer("".join(_around_requests(first)))
    missing = "\n".join(b.group() for b in blocks if f"<{b.group(1)}" not in second)
    return middle_out(missing, _MOST_CONTEXT_CHARS)


def with_context(message: Message, context: str) -> Message:
    """Return a user's message with ``context`` before what it says."""
    content = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [{"type": "text", "text": context}, *content]}
    return {**message, "content": f"{context}\n{content or ''}"}


def used_tools(messages: Sequence[Message]) -> frozenset[str]:
    """Return the names of all tools that the conversation has called."""
    names = (call.get("name") for message in messages for call in calls_of(message))
    return frozenset(name for name in names if isinstance(name, str))
