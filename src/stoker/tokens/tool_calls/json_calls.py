"""Calls written as JSON: objects, arrays of them, and the arguments of a call named before."""

from __future__ import annotations

import re

from stoker.tokens.tool_calls.bracket_scanner import BracketScanner
from stoker.tokens.tool_calls.call_candidate import (
    BLANK,
    REJECTED,
    FoundCall,
    Verdict,
)
from stoker.tokens.tool_calls.call_validation import CALL_KEYS, NAME_KEYS, ToolSchemas
from stoker.tokens.tool_calls.strict_json import parse_json

#: The first key of an object, or of the first object in an array, and its value if it is text.
_FIRST_KEY = re.compile(r'[\[{\s]*"([^"\\]*)("?)(?:(?<=")\s*:\s*"([^"\\]*)("?))?')
_HEAD_CHARS = 400


class JsonValue:
    """A JSON object or array that describes calls, from its opening bracket."""

    def __init__(self, offered: ToolSchemas, start: int, *, sure: bool) -> None:
        self._offered = offered
        self._start = start
        self._sure = sure
        self._scanner = BracketScanner(start)

    def read(self, text: str, final: bool) -> Verdict:
        if not self._sure and self._is_other_json(text):
            return REJECTED
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        calls = self._offered.calls_in(parse_json(text[self._start : end]), sure=self._sure)
        return FoundCall(tuple(calls), end) if calls else REJECTED

    def _is_other_json(self, text: str) -> bool:
        """Whether this JSON is an answer, not a call; decided as early as possible."""
        head = text[self._start : self._start + _HEAD_CHARS]
        match = _FIRST_KEY.match(head)
        if match is None:
            return len(head.strip("[{" + BLANK)) > 0 or len(head) == _HEAD_CHARS
        key, key_ends, value, value_ends = match.groups()
        if not key_ends:
            return not any(known.startswith(key) for known in CALL_KEYS)
        if key not in CALL_KEYS:
            return True
        return bool(value_ends) and key in NAME_KEYS and value not in self._offered


class Arguments:
    """The JSON object of one call whose name is already known."""

    def __init__(self, offered: ToolSchemas, name: str, start: int) -> None:
        self._offered = offered
        self._name = name
        self._start = start
        self._scanner = BracketScanner(start)

    def read(self, text: str, final: bool) -> Verdict:
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        value = parse_json(text[self._start : end])
        if not isinstance(value, dict):
            return REJECTED
        call = self._offered.call(self._name, value)
        return REJECTED if call is None else FoundCall((call,), end)
