"""Calls written as Python: ``read(path="a.py")``, by themselves or in a list."""

from __future__ import annotations

from stoker.tokens.tool_calls.bracket_scanner import BracketScanner
from stoker.tokens.tool_calls.call_candidate import (
    IDENTIFIER,
    REJECTED,
    FoundCall,
    Verdict,
    skip_blank,
)
from stoker.tokens.tool_calls.call_validation import Call, ToolSchemas

_QUOTES = "\"'"


class PythonCall:
    """``name(a=1, b="x")``, from its name."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._scanner: BracketScanner | None = None

    def read(self, text: str, final: bool) -> Verdict:
        match = IDENTIFIER.match(text, self._start)
        if match is None:
            return None if self._start == len(text) and not final else REJECTED
        if match.end() == len(text):
            may_be = not final and self._offered.may_name(match.group())
            return None if may_be else REJECTED
        name = self._offered.resolve(match.group())
        if name is None or text[match.end()] != "(":
            return REJECTED
        if self._scanner is None:
            self._scanner = BracketScanner(match.end(), quotes=_QUOTES)
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        call = self._offered.call_from_python(name, text[match.end() : end])
        return REJECTED if call is None else FoundCall((call,), end)


class PythonCalls:
    """``[f(a=1), g(b="x")]``: Llama 4, LFM2 and others, from its opening bracket."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._scanner = BracketScanner(start, quotes=_QUOTES)

    def read(self, text: str, final: bool) -> Verdict:
        name_start = skip_blank(text, self._start + 1)
        if not self._may_name_a_tool(text[name_start : name_start + 200]):
            return REJECTED
        end = self._scanner.end(text)
        if end is None:
            return REJECTED if final else None
        calls = self._calls_in(text[: end - 1], name_start)
        return FoundCall(tuple(calls), end) if calls else REJECTED

    def _calls_in(self, text: str, at: int) -> list[Call] | None:
        """Return the calls of a whole list, ``None`` where it holds anything else."""
        calls: list[Call] = []
        while at < len(text):
            verdict = PythonCall(self._offered, at).read(text, True)
            if not isinstance(verdict, FoundCall):
                return None
            calls += verdict.calls
            at = skip_blank(text, verdict.end)
            if at < len(text) and text[at] != ",":
                return None
            at = skip_blank(text, at + 1)
        return calls

    def _may_name_a_tool(self, head: str) -> bool:
        name, bracket, _ = head.partition("(")
        if bracket:
            return self._offered.resolve(name) is not None
        return self._offered.may_name(name)
