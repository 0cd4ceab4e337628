"""Mistral's calls, behind ``[TOOL_CALLS]``."""

from __future__ import annotations

import re

from stoker.tokens.tool_calls.call_candidate import (
    NAME_CHARS,
    REJECTED,
    Rejected,
    Verdict,
    skip_blank,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import Arguments, JsonValue


class Mistral:
    """``[TOOL_CALLS]``: a JSON array (v1 to v7), or ``name[ARGS]{...}`` (v11 and later)."""

    OPEN = "[TOOL_CALLS]"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._inner: JsonValue | Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._inner is None:
            chosen = self._choose(text, skip_blank(text, self._start))
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._inner = chosen
        return self._inner.read(text, final)

    def _choose(self, text: str, body: int) -> JsonValue | Arguments | Rejected | None:
        if body == len(text):
            return None
        if text[body] in "[{":
            return JsonValue(self._offered, body, sure=True)
        brace = text.find("{", body, body + NAME_CHARS)
        if brace < 0:
            return REJECTED if len(text) - body >= NAME_CHARS else None
        name = re.split(r"\[CALL_ID\]|\[ARGS\]", text[body:brace])[0].strip()
        if name not in self._offered:
            return REJECTED
        return Arguments(self._offered, name, brace)
