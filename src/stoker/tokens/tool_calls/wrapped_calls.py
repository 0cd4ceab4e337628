"""Calls between an opening and a closing tag, such as ``<tool_call>``."""

from __future__ import annotations

from stoker.tokens.tool_calls.call_candidate import (
    REJECTED,
    FoundCall,
    Rejected,
    Verdict,
    begins_with,
    skip_blank,
    with_closing,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import JsonValue
from stoker.tokens.tool_calls.llama_calls import PythonCalls
from stoker.tokens.tool_calls.xml_calls import GlmCall, XmlFunction


class Wrapped:
    """A call behind a marker such as ``<tool_call>``: JSON, XML, GLM's form, or Python."""

    def __init__(self, offered: ToolSchemas, start: int, closing: str = "") -> None:
        self._offered = offered
        self._start = start
        self._closing = closing
        self._inner: JsonValue | XmlFunction | GlmCall | PythonCalls | None = None

    def read(self, text: str, final: bool) -> Verdict:
        body = skip_blank(text, self._start)
        if self._inner is None:
            chosen = self._choose(text, body)
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._inner = chosen
        verdict = self._inner.read(text, final)
        if isinstance(verdict, FoundCall) and isinstance(self._inner, GlmCall):
            return verdict
        return with_closing(text, verdict, final, self._closing)

    def _choose(
        self, text: str, body: int
    ) -> JsonValue | XmlFunction | GlmCall | PythonCalls | Rejected | None:
        if body == len(text):
            return None
        if text[body] == "{":
            return JsonValue(self._offered, body, sure=True)
        if text[body] == "[":
            return self._choose_list(text, body)
        function = begins_with(text, body, XmlFunction.OPEN)
        if function is not False:
            return XmlFunction(self._offered, body) if function else None
        is_glm = self._closing == GlmCall.CLOSE
        return GlmCall(self._offered, body) if is_glm else REJECTED

    def _choose_list(self, text: str, body: int) -> JsonValue | PythonCalls | None:
        inner = skip_blank(text, body + 1)
        if inner == len(text):
            return None
        if text[inner] in "{]":
            return JsonValue(self._offered, body, sure=True)
        return PythonCalls(self._offered, body)
