"""Calls written as Qwen3-Coder, Seed-OSS and Step 3.5 write them: ``<function=name>``."""

from __future__ import annotations

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
        name_end = text.find(">", name_start, name_start + 200)
        if "\n" in text[name_start : name_end if name_end >= 0 else None]:
            return REJECTED
        if name_end < 0:
            return REJECTED if final or len(text) - name_start >= 200 else None
        name = self._offered.resolve(text[name_start:name_end].strip(" \"'"))
        if name is None:
            return REJECTED
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
            return REJECTED if final else None
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
        found[name.strip()] = _unwrap(value.rstrip().removesuffix(_END_PARAMETER))
    return found


def _unwrap(value: str) -> str:
    return value.removeprefix("\n").removesuffix("\n")
