"""Calls without a marker: in a code fence, or bare at the beginning of a line."""

from __future__ import annotations

import re

from stoker.tokens.tool_calls.call_block import CallBlock
from stoker.tokens.tool_calls.call_candidate import (
    IDENTIFIER,
    REJECTED,
    FoundCall,
    Reader,
    Rejected,
    Verdict,
    skip_blank,
    word_at,
)
from stoker.tokens.tool_calls.call_formats import MARKERS
from stoker.tokens.tool_calls.call_validation import Call, ToolSchemas
from stoker.tokens.tool_calls.json_calls import JsonValue, is_json
from stoker.tokens.tool_calls.python_calls import PythonCall, PythonCalls


class Fenced:
    """A code fence that holds nothing but calls."""

    OPEN = "```"
    _LANGUAGES = ("json", "tool_call", "tool_calls", "tool_code", "tool", "xml", "python", "")
    #: Gemma 3 writes its calls as Python here, by themselves or printed.
    _CODE = "tool_code"
    _PRINT = "print("
    _WORD = re.compile(r"[A-Za-z][\w.+#-]*\s*")

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start + len(self.OPEN)
        self._body: int | None = None
        self._is_code = False
        self._printed = False
        self._inner: Reader | None = None
        self._calls: tuple[Call, ...] = ()

    @classmethod
    def quotes(cls, first_line: str) -> bool:
        """Whether a fence that begins so shows a language in which no model writes its calls."""
        language = first_line.removeprefix(cls.OPEN).strip()
        return bool(cls._WORD.fullmatch(language)) and language.lower() not in cls._LANGUAGES

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
        self._is_code = language == self._CODE
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
        if not isinstance(verdict, FoundCall):
            return verdict
        if self._printed:
            verdict = self._after_print(text, verdict, final)
        if isinstance(verdict, FoundCall):
            self._inner, self._printed = None, False
        return verdict

    def _after_print(self, text: str, verdict: FoundCall, final: bool) -> Verdict:
        end = skip_blank(text, verdict.end)
        if end == len(text):
            return REJECTED if final else None
        return FoundCall(verdict.calls, end + 1) if text[end] == ")" else REJECTED

    def _choose(self, text: str, body: int) -> Reader | Rejected | None:
        if body == len(text):
            return None
        if text[body] in "{[":
            return bare_reader(self._offered, text, body)
        if self._is_code and IDENTIFIER.match(text, body):
            return self._choose_code(text, body)
        word = word_at(text, body, (*(m for m in MARKERS if m.startswith("<")), self.OPEN))
        if word is None:
            return None
        return REJECTED if not word or word == self.OPEN else _marked(self._offered, word, body)

    def _choose_code(self, text: str, body: int) -> Reader | None:
        printed = word_at(text, body, (self._PRINT,))
        if printed is None:
            return None
        self._printed = bool(printed)
        return PythonCall(self._offered, body + len(printed or "")).read


def _marked(offered: ToolSchemas, marker: str, at: int) -> Reader:
    """Return what reads a marked call; a header within a fence begins no message."""
    read = MARKERS[marker](offered, at)

    def reader(text: str, final: bool) -> Verdict:
        verdict = read(text, final)
        return verdict if verdict is None or isinstance(verdict, FoundCall) else REJECTED

    return reader


def bare_reader(offered: ToolSchemas, text: str, start: int) -> Reader | None:
    """Return the reader for a bracket that stands by itself; ``None`` while it is unclear."""
    json = is_json(text, start)
    if json is None:
        return None
    if json:
        return JsonValue(offered, start, sure=False).read
    return PythonCalls(offered, start).read


class Bare:
    """Calls as bare JSON or Python at the beginning of a line; Llama 3 joins several by ``;``."""

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._inner: Reader | None = None
        self._more: CallBlock | None = None
        self._first: FoundCall | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._first is None:
            verdict = self._read_first(text, final)
            if not isinstance(verdict, FoundCall):
                return verdict
            self._first = verdict
        return self._read_more(text, final, self._first)

    def _read_first(self, text: str, final: bool) -> Verdict:
        if self._inner is None:
            self._inner = bare_reader(self._offered, text, self._start)
            if self._inner is None:
                return REJECTED if final else None
        return self._inner(text, final)

    def _read_more(self, text: str, final: bool, first: FoundCall) -> Verdict:
        if self._more is None:
            at = skip_blank(text, first.end)
            if at < len(text) and text[at] in ";,":
                at = skip_blank(text, at + 1)
                if at < len(text) and text[at] != "{":
                    return first
            elif at < len(text):
                return first
            if at == len(text):
                return first if final else None
            self._more = CallBlock(self._offered, at, (), {})
        verdict = self._more.read(text, final)
        if verdict is None or not isinstance(verdict, FoundCall):
            return None if verdict is None else first
        return FoundCall(first.calls + verdict.calls, verdict.end)
