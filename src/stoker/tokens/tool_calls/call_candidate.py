"""The result of looking for a call in text, and the helpers that all formats share."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from stoker.tokens.tool_calls.call_validation import Call

BLANK = " \t\r\n"
IDENTIFIER = re.compile(r"[A-Za-z_][\w.\-/]*")
#: How far behind a marker a call's arguments begin at most.
NAME_CHARS = 300


@dataclass(frozen=True, slots=True)
class FoundCall:
    """Calls, and the index after the last character that belongs to them."""

    calls: tuple[Call, ...]
    end: int


class Rejected:
    """The text is not a call."""


REJECTED = Rejected()
Verdict = FoundCall | Rejected | None
Reader = Callable[[str, bool], Verdict]


def skip_blank(text: str, start: int) -> int:
    """Return the index of the first character from ``start`` that is not white space."""
    while start < len(text) and text[start] in BLANK:
        start += 1
    return start


def begins_with(text: str, start: int, word: str) -> bool | None:
    """Return whether ``word`` is at ``start``; ``None`` while the text is too short to decide."""
    if text.startswith(word, start):
        return True
    return None if word.startswith(text[start:]) else False


def with_closing(text: str, verdict: Verdict, final: bool, closing: str) -> Verdict:
    """Add the closing marker to what was found, if it follows; models sometimes forget it."""
    if not isinstance(verdict, FoundCall) or not closing:
        return verdict
    at = skip_blank(text, verdict.end)
    closes = begins_with(text, at, closing)
    if closes is None and not final:
        return None
    return FoundCall(verdict.calls, at + len(closing)) if closes else verdict
