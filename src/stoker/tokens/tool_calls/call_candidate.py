"""The result of looking for a call in text, and the helpers that all formats share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

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


@dataclass(frozen=True, slots=True)
class FoundHeader:
    """The header of a message, and the index after it; ``closings`` end the message's body.

    ``thought``: the body is reasoning, not a part of the answer.
    """

    end: int
    closings: tuple[str, ...]
    thought: bool


class Rejected:
    """The text is not a call."""


REJECTED = Rejected()
Verdict = FoundCall | Rejected | None
HeaderVerdict = FoundHeader | Verdict
Reader = Callable[[str, bool], Verdict]
#: What reads a call, or the header of a message.
MessageReader = Callable[[str, bool], HeaderVerdict]


class _Reads(Protocol):
    """What reads the rest of a call."""

    def read(self, text: str, final: bool) -> Verdict: ...


class ChosenReader:
    """A call whose beginning decides what reads the rest of it."""

    #: What may stand behind that rest.
    _after: str = ""
    _reader: _Reads | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._reader is None:
            chosen = self._choose(text)
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._reader = chosen
        return with_closing(text, self._reader.read(text, final), final, self._after)

    def _choose(self, text: str) -> _Reads | Rejected | None:
        """The reader; ``None`` while the text is too short to decide."""
        raise NotImplementedError


def skip_blank(text: str, start: int) -> int:
    """Return the index of the first character from ``start`` that is not white space."""
    while start < len(text) and text[start] in BLANK:
        start += 1
    return start


def begins_with(text: str, start: int, word: str) -> bool | None:
    """Return whether ``word`` is at ``start``; ``None`` while the text is too short to decide."""
    if text.startswith(word, start):
        return True
    return None if len(text) - start < len(word) and word.startswith(text[start:]) else False


def word_at(text: str, start: int, words: Iterable[str]) -> str | Literal[False] | None:
    """Return which of ``words`` is at ``start``, ``False`` if none is, ``None`` while undecided."""
    undecided = False
    for word in words:
        begins = begins_with(text, start, word)
        if begins:
            return word
        undecided = undecided or begins is None
    return None if undecided else False


def with_closing(text: str, verdict: Verdict, final: bool, closing: str) -> Verdict:
    """Add the closing marker to what was found, if it follows; models sometimes forget it."""
    if not isinstance(verdict, FoundCall) or not closing:
        return verdict
    at = skip_blank(text, verdict.end)
    closes = begins_with(text, at, closing)
    if closes is None and not final:
        return None
    return FoundCall(verdict.calls, at + len(closing)) if closes else verdict
