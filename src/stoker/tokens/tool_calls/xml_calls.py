"""Calls written as Qwen3-Coder, Seed-OSS and Step 3.5 write them: ``<function=name>``."""

from __future__ import annotations

import re

from stoker.tokens.tool_calls.call_candidate import (
    REJECTED,
    FoundCall,
    Verdict,
    skip_blank,
    with_closing,
    word_at,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import Arguments

#: Qwen3-Coder's ``<parameter=path>`` ... ``</parameter>``; the closing tag may be missing.
_PARAMETER, _END_PARAMETER = "<parameter=", "</parameter>"
#: ``>``, or nothing before a JSON object.
_NAME_END = re.compile(r">|(?=\{)")
#: The wrappers in which this form stands: Qwen's, Seed-OSS'.
_WRAPPER_ENDS = ("</tool_call>", "</seed:tool_call>")


class XmlFunction:
    """Qwen3-Coder's ``<function=name><parameter=key>...``, or Llama's with a JSON object."""

    OPEN, CLOSE = "<function=", "</function>"

    def __init__(self, offered: ToolSchemas, start: int, closings: tuple[str, ...] = ()) -> None:
        self._offered = offered
        self._start = start
        self._searched = start
        #: What may stand behind the call in its wrapper; where there is none, anything may.
        self._followers = (*closings, self.OPEN) if closings else ()
        self._doubtful: int | None = None
        self._arguments: Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        name_start = self._start + len(self.OPEN)
        # Llama 3 leaves the bracket out before a JSON object at times.
        ends = _NAME_END.search(text, name_start, name_start + 200)
        if "\n" in text[name_start : ends.start() if ends else None]:
            return REJECTED
        if ends is None:
            return REJECTED if final or len(text) - name_start >= 200 else None
        name = self._offered.resolve(text[name_start : ends.start()].strip(" \"'"))
        if name is None:
            return REJECTED
        name_end = ends.end() - 1
        body = skip_blank(text, name_end + 1)
        if text.startswith("{", body):
            return self._read_json(text, final, name, body)
        return self._read_parameters(text, final, name, name_end + 1)

    def _read_json(self, text: str, final: bool, name: str, body: int) -> Verdict:
        if self._arguments is None:
            self._arguments = Arguments(self._offered, name, body)
        verdict = self._arguments.read(text, final)
        return with_closing(text, verdict, final, self.CLOSE)

    def _read_parameters(self, text: str, final: bool, name: str, body: int) -> Verdict:
        end = self._end_of_parameters(text, body, final)
        if end is None:
            return self._without_end(text, name, body) if final else None
        arguments = parameters_in_xml(text[body:end])
        call = None if arguments is None else self._offered.call_from_texts(name, arguments)
        return REJECTED if call is None else FoundCall((call,), end + len(self.CLOSE))

    def _end_of_parameters(self, text: str, body: int, final: bool) -> int | None:
        """Return where the closing tag stands that is no part of a parameter's value."""
        self._searched = max(self._searched, body)
        while (end := text.find(self.CLOSE, self._searched)) >= 0:
            inside = text[body:end].rstrip()
            whole = inside.endswith(_END_PARAMETER) or _PARAMETER not in inside
            if whole and not self._followers:
                return end
            at = skip_blank(text, end + len(self.CLOSE))
            closes = word_at(text, at, self._followers or _WRAPPER_ENDS)
            if closes:
                first = self._doubtful
                return first if first is not None and self.OPEN in text[first:end] else end
            if closes is None or (final and not self._followers):
                return end if final else None
            self._doubtful = end if self._doubtful is None and whole else self._doubtful
            self._searched = end + 1
        self._searched = max(self._searched, len(text) - len(self.CLOSE))
        return self._doubtful if final else None

    def _without_end(self, text: str, name: str, body: int) -> Verdict:
        """The call up to the end of its wrapper, behind a parameter that is closed."""
        found = (text.find(end, body) for end in _WRAPPER_ENDS)
        end = min((at for at in found if at >= 0), default=body)
        if not text[body:end].rstrip().endswith(_END_PARAMETER):
            return REJECTED
        arguments = parameters_in_xml(text[body:end])
        call = None if arguments is None else self._offered.call_from_texts(name, arguments)
        return REJECTED if call is None else FoundCall((call,), end)


def parameters_in_xml(text: str) -> dict[str, str] | None:
    """Return the texts of Qwen3-Coder's ``<parameter=name>`` elements, less one line end each.

    ``None`` where anything else stands between them: then not all of it was understood.
    """
    found: dict[str, str] = {}
    before, *elements = text.split(_PARAMETER)
    if before.strip():
        return None
    for element in elements:
        name, closed, value = element.partition(">")
        if not closed or not name.strip() or "\n" in name:
            return None
        value = value.rstrip().removesuffix(_END_PARAMETER)
        # A closing tag on a line of its own that closes nothing was written twice
        # (https://github.com/ggml-org/llama.cpp/issues/24807).
        while (rest := value.rstrip()).endswith(_END_PARAMETER) and _is_surplus(rest):
            value = rest.removesuffix(_END_PARAMETER)
        found[name.strip()] = _unwrap(value)
    return found


def _is_surplus(value: str) -> bool:
    before = value.removesuffix(_END_PARAMETER)
    is_line = before.endswith("\n") and bool(before.strip())
    return is_line and value.count(_END_PARAMETER) > value.count("<parameter")


def _unwrap(value: str) -> str:
    return value.removeprefix("\n").removesuffix("\n")
