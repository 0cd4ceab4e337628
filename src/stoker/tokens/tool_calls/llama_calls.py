"""Llama's calls: 4's pythonic form, and 3's behind ``<|python_tag|>``."""

from __future__ import annotations

from stoker.tokens.tool_calls.bracket_scanner import BracketScanner
from stoker.tokens.tool_calls.call_candidate import (
    IDENTIFIER,
    REJECTED,
    FoundCall,
    Verdict,
    skip_blank,
    with_closing,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import JsonValue


class PythonCalls:
    """``[f(a=1), g(b="x")]``, Llama 4's pythonic form, from its opening bracket."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._scanner = BracketScanner(start, quotes="\"'")

    def read(self, text: str, final: bool) -> Verdict:
        name_start = skip_blank(text, self._start + 1)
        if not self._may_name_a_tool(text[name_start : name_start + 200]):
            return REJECTED
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        calls = self._offered.calls_in_python(text[self._start : end])
        return FoundCall(tuple(calls), end) if calls else REJECTED

    def _may_name_a_tool(self, head: str) -> bool:
        name, bracket, _ = head.partition("(")
        if bracket:
            return name.rstrip() in self._offered
        return any(known.startswith(name) for known in self._offered.names)


class PythonTag:
    """Llama 3's ``<|python_tag|>``: JSON, or ``name.call(...)``; several are joined by ``;``."""

    OPEN = "<|python_tag|>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._inner: JsonValue | None = None
        self._scanner: BracketScanner | None = None

    def read(self, text: str, final: bool) -> Verdict:
        body = skip_blank(text, self._start)
        if body == len(text):
            return REJECTED if final else None
        if text[body] in "{[":
            if self._inner is None:
                self._inner = JsonValue(self._offered, body, sure=True)
            return with_closing(text, self._inner.read(text, final), final, ";")
        return self._read_python(text, final, body)

    def _read_python(self, text: str, final: bool, body: int) -> Verdict:
        match = IDENTIFIER.match(text, body)
        if match is None or (match.end() < len(text) and text[match.end()] != "("):
            return REJECTED
        if match.end() == len(text):
            return REJECTED if final else None
        if self._scanner is None:
            self._scanner = BracketScanner(match.end(), quotes="\"'")
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        calls = self._offered.calls_in_python(text[body:end])
        return FoundCall(tuple(calls), end) if calls else REJECTED
