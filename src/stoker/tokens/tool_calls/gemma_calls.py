"""Gemma's calls: ``call:name{key:<|"|>text<|"|>,number:3}``.

Sources: the chat templates of Gemma 4 (strings between ``<|"|>``) and of FunctionGemma
(``<escape>``). Both leave the quotes of keys out.
"""

from __future__ import annotations

import re
from typing import Any

from stoker.tokens.tool_calls.call_candidate import (
    BLANK,
    NAME_CHARS,
    REJECTED,
    FoundCall,
    Verdict,
    skip_blank,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.strict_json import parse_json_or_python

_QUOTES = ('<|"|>', "<escape>")
_LONGEST_QUOTE = max(map(len, _QUOTES))
_STEP = re.compile(r'<\|"\|>|<escape>|[{}\[\]]')
_BARE = re.compile(r"[^,{}\[\]<]+")
_KEY = re.compile(r'(?:<\|"\|>|<escape>|")?(?P<key>[^:{}\[\],"<]+?)(?:<\|"\|>|<escape>|")?\s*:')
_JSON_STRING = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_MAX_DEPTH = 32


class GemmaCall:
    """One call, from ``call:`` on."""

    OPEN = "call:"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._name: str | None = None
        self._body = 0
        self._searched = 0
        self._depth = 0
        self._quote = ""

    def read(self, text: str, final: bool) -> Verdict:
        if self._name is None:
            name_start = self._start + len(self.OPEN)
            self._body = text.find("{", name_start, name_start + NAME_CHARS)
            if self._body < 0:
                too_long = len(text) - name_start >= NAME_CHARS
                return REJECTED if final or too_long else None
            self._name = self._offered.resolve(text[name_start : self._body])
            self._searched = self._body
            if self._name is None:
                return REJECTED
        end = self._end(text, final)
        if end is None:
            return REJECTED if final else None
        values = _Values(text[self._body : end]).whole()
        call = None if values is None else self._offered.call(self._name, values)
        return REJECTED if call is None else FoundCall((call,), end)

    def _end(self, text: str, final: bool) -> int | None:
        """Return the index behind the bracket that closes the arguments."""
        certain = len(text) if final else len(text) - _LONGEST_QUOTE
        while (match := _STEP.search(text, self._searched)) and match.start() < certain:
            self._searched, mark = match.end(), match.group()
            if mark in _QUOTES:
                self._quote = "" if mark == self._quote else self._quote or mark
            elif not self._quote:
                self._depth += 1 if mark in "{[" else -1
                if self._depth == 0:
                    return match.end()
        self._searched = max(self._searched, certain)
        return None


class _NotUnderstoodError(ValueError):
    """The text is not in Gemma's form."""


class _Values:
    """Reads the arguments of one call."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def whole(self) -> dict[str, Any] | None:
        """Return all arguments, ``None`` where something was not understood."""
        try:
            found = self._object(0)
        except _NotUnderstoodError:
            return None
        return found if self._at == len(self._text) else None

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._expect("{")
        while not self._closes("}"):
            match = _KEY.match(self._text, self._at)
            if match is None:
                raise _NotUnderstoodError
            self._at = match.end()
            found[match["key"].strip()] = self._value(depth + 1)
            self._separate("}")
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self._expect("[")
        while not self._closes("]"):
            found.append(self._value(depth + 1))
            self._separate("]")
        return found

    def _value(self, depth: int) -> Any:
        self._at = skip_blank(self._text, self._at)
        if depth > _MAX_DEPTH:
            raise _NotUnderstoodError
        for quote in _QUOTES:
            if self._text.startswith(quote, self._at):
                return self._string(quote)
        begins = self._text[self._at : self._at + 1]
        if begins == "{":
            return self._object(depth)
        if begins == "[":
            return self._array(depth)
        return self._bare(_JSON_STRING if begins == '"' else _BARE)

    def _string(self, quote: str) -> str:
        start = self._at + len(quote)
        end = self._text.find(quote, start)
        if end < 0:
            raise _NotUnderstoodError
        self._at = end + len(quote)
        return self._text[start:end]

    def _bare(self, form: re.Pattern[str]) -> Any:
        """Read a number, a word such as ``true``, or a text that was left without quotes."""
        match = form.match(self._text, self._at)
        word = "" if match is None else match.group().strip(BLANK)
        if match is None or not word:
            raise _NotUnderstoodError
        self._at = match.end()
        value = parse_json_or_python(word)
        return word if value is None and word not in {"null", "None"} else value

    def _expect(self, mark: str) -> None:
        if not self._text.startswith(mark, self._at):
            raise _NotUnderstoodError
        self._at += len(mark)

    def _closes(self, bracket: str) -> bool:
        self._at = skip_blank(self._text, self._at)
        closes = self._text.startswith(bracket, self._at)
        self._at += closes
        return closes

    def _separate(self, bracket: str) -> None:
        self._at = skip_blank(self._text, self._at)
        if not self._text.startswith(bracket, self._at):
            self._expect(",")
            self._at = skip_blank(self._text, self._at)
