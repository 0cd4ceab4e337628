"""What a client adds to its system prompt in the middle of a session, moved behind what was read.

Templates write system prompt and tools before all else, so one line more in the system prompt has
all of it read again: VS Code 1.139 adds a list of skills, 4,445 characters, at character 10,129 of
10,526 when the second question is asked, in front of 39 tools.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.chat_messages import SYSTEM_ROLES, Message

#: What stands before the moved lines, so that the model takes them for what they are.
_LEAD = "[These instructions belong to the system prompt above:]\n"


@dataclass(frozen=True, slots=True)
class SystemAddition:
    """Whole lines that a system prompt has, and had not before."""

    before: str
    lines: str


def system_text(messages: Sequence[Message]) -> str | None:
    """The system prompt; ``None`` where it is not one leading message of one text."""
    first = messages[0] if messages else {}
    content = first.get("content")
    if first.get("role") not in SYSTEM_ROLES or not isinstance(content, str):
        return None
    return None if len(messages) > 1 and messages[1].get("role") in SYSTEM_ROLES else content


def system_addition(before: str, now: str) -> SystemAddition | None:
    """What ``now`` has more than ``before``; ``None`` where it is no addition of whole lines."""
    size = len(now) - len(before)
    start = _common_length(before, now)
    if size <= 0 or not now.endswith(before[start:]):
        return None
    while start and not _is_between_lines(before, start, now[start : start + size]):
        if now[start - 1] != now[start + size - 1]:
            return None
        start -= 1
    return SystemAddition(before, now[start : start + size])


def _common_length(one: str, other: str) -> int:
    lengths = range(min(len(one), len(other)))
    return bisect_left(lengths, True, key=lambda at: not other.startswith(one[: at + 1]))


def _is_between_lines(text: str, at: int, added: str) -> bool:
    starts = at == 0 or text[at - 1] == "\n" or added[0] == "\n"
    ends = at == len(text) or text[at] == "\n" or added[-1] == "\n"
    return starts and ends


def with_moved_addition(request: Mapping[str, Any], new: SystemAddition, to: int) -> dict[str, Any]:
    """The request with what is new at the beginning of message ``to``, which is a user's."""
    messages = list(request["messages"])
    messages[0] = {**messages[0], "content": new.before}
    messages[to] = {**messages[to], "content": _behind(new.lines, messages[to].get("content"))}
    return {**request, "messages": messages}


def _behind(lines: str, content: Any) -> Any:
    text = f"{_LEAD}{lines.strip()}\n\n"
    if isinstance(content, list):
        return [{"type": "text", "text": text}, *content]
    return f"{text}{content or ''}"
