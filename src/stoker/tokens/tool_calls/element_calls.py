"""Calls as elements within a marker: ``<name>f</name><arguments>{...}</arguments>``.

Models that were taught the prompts of Cherry Studio and Kiro write them.
"""

from __future__ import annotations

from stoker.tokens.tool_calls.call_candidate import (
    NAME_CHARS,
    REJECTED,
    ChosenReader,
    Rejected,
    skip_blank,
    word_at,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import Arguments

_END_NAME = "</name>"
_ARGUMENTS = ("<arguments>", "<parameters>", "<args>", "<input>")


class ElementCall(ChosenReader):
    """One call, from behind the tag of its name."""

    OPEN = "<name>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start

    def _choose(self, text: str) -> Arguments | Rejected | None:
        end = text.find(_END_NAME, self._start, self._start + NAME_CHARS)
        if end < 0:
            return REJECTED if len(text) - self._start >= NAME_CHARS else None
        name = self._offered.resolve(text[self._start : end])
        at = skip_blank(text, end + len(_END_NAME))
        opening = word_at(text, at, _ARGUMENTS)
        if name is None or opening is False:
            return REJECTED
        if opening is None:
            return None
        begin = skip_blank(text, at + len(opening))
        if begin == len(text):
            return None
        self._after = f"</{opening[1:]}"
        return Arguments(self._offered, name, begin) if text[begin] == "{" else REJECTED
