"""Calls without a marker: in a code fence, or bare at the beginning of a line."""

from __future__ import annotations

from stoker.tokens.tool_calls.call_candidate import (
    REJECTED,
    FoundCall,
    Reader,
    Rejected,
    Verdict,
    begins_with,
    skip_blank,
)
from stoker.tokens.tool_calls.call_validation import Call, ToolSchemas
from stoker.tokens.tool_calls.json_calls import JsonValue
from stoker.tokens.tool_calls.llama_calls import PythonCalls
from stoker.tokens.tool_calls.mistral_calls import Mistral
from stoker.tokens.tool_calls.wrapped_calls import Wrapped
from stoker.tokens.tool_calls.xml_calls import GlmCall


class Fenced:
    """A code fence that holds nothing but calls."""

    OPEN = "```"
    _LANGUAGES = ("json", "tool_call", "tool_calls", "tool_code", "tool", "xml", "python", "")

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._body: int | None = None
        self._inner: Reader | None = None
        self._calls: tuple[Call, ...] = ()

    def read(self, text: str, final: bool) -> Verdict:
        if self._body is None:
            line_end = text.find("\n", self._start)
            rejected = self._language(text, line_end)
            if rejected is not None or line_end < 0:
                return REJECTED if final else rejected
            self._body = line_end
        while not self._calls or not text.startswith(self.OPEN, skip_blank(text, self._body)):
            verdict = self._next_call(text, final, skip_blank(text, self._body))
            if not isinstance(verdict, FoundCall):
                return verdict
            if not verdict.calls:
                return FoundCall(self._calls, verdict.end)
            self._calls += verdict.calls
            self._body = verdict.end
        return FoundCall(self._calls, skip_blank(text, self._body) + len(self.OPEN))

    def _language(self, text: str, line_end: int) -> Rejected | None:
        language = text[self._start : None if line_end < 0 else line_end].strip().lower()
        if line_end < 0:
            may_be = any(known.startswith(language) for known in self._LANGUAGES)
            return None if may_be else REJECTED
        return None if language in self._LANGUAGES else REJECTED

    def _next_call(self, text: str, final: bool, body: int) -> Verdict:
        """Read one more call; ``FoundCall`` without calls where the fence ends unclosed."""
        if self._inner is None:
            chosen = self._choose(text, body)
            if chosen is None and final and self._calls:
                return FoundCall((), body)
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._inner = chosen
        verdict = self._inner(text, final)
        if isinstance(verdict, FoundCall):
            self._inner = None
        return verdict

    def _choose(self, text: str, body: int) -> Reader | Rejected | None:
        if body == len(text):
            return None
        if text[body] in "{[":
            return bare_reader(self._offered, text, body)
        for word in ("<tool_call>", self.OPEN):
            stands = begins_with(text, body, word)
            if stands is None:
                return None
            if stands and word != self.OPEN:
                return Wrapped(self._offered, body + len(word), GlmCall.CLOSE).read
        return REJECTED


def bare_reader(offered: ToolSchemas, text: str, start: int) -> Reader | None:
    """Return the reader for a bracket that stands by itself; ``None`` while it is unclear."""
    if text[start] == "{":
        return JsonValue(offered, start, sure=False).read
    inner = skip_blank(text, start + 1)
    mistral = begins_with(text, start, Mistral.OPEN)
    if inner == len(text) or mistral is None:
        return None
    if mistral:
        return Mistral(offered, start).read
    if text[inner] == "{":
        return JsonValue(offered, start, sure=False).read
    return PythonCalls(offered, start).read


class Bare:
    """A call as bare JSON or Python at the beginning of a line."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._inner: Reader | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._inner is None:
            self._inner = bare_reader(self._offered, text, self._start)
            if self._inner is None:
                return REJECTED if final else None
        return self._inner(text, final)
