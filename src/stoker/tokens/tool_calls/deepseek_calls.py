"""DeepSeek's calls, between its own special tokens."""

from __future__ import annotations

from stoker.tokens.tool_calls.call_candidate import (
    NAME_CHARS,
    REJECTED,
    FoundCall,
    Rejected,
    Verdict,
    begins_with,
    skip_blank,
    with_closing,
)
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.json_calls import Arguments


class DeepSeek:
    """DeepSeek V3 and R1 (``function<sep>name`` and fenced JSON), V3.1 (``name<sep>{...}``)."""

    BEGIN_ALL, END_ALL = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
    BEGIN, SEP, END = "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"

    def __init__(self, offered: ToolSchemas, start: int) -> None:
        self._offered = offered
        self._start = start
        self._arguments: Arguments | None = None

    def read(self, text: str, final: bool) -> Verdict:
        if self._arguments is None:
            chosen = self._choose(text)
            if chosen is None or isinstance(chosen, Rejected):
                return REJECTED if final else chosen
            self._arguments = chosen
        verdict = self._arguments.read(text, final)
        if not isinstance(verdict, FoundCall):
            return verdict
        closed = with_closing(text, verdict, final, "```")
        if not isinstance(closed, FoundCall):
            return closed
        closed = with_closing(text, closed, final, self.END)
        return with_closing(text, closed, final, self.END_ALL)

    def _choose(self, text: str) -> Arguments | Rejected | None:
        begin = self._start
        if text.startswith(self.BEGIN_ALL, begin):
            begin = skip_blank(text, begin + len(self.BEGIN_ALL))
            starts = begins_with(text, begin, self.BEGIN)
            if not starts:
                return None if starts is None else REJECTED
        begin += len(self.BEGIN)
        brace = text.find("{", begin, begin + NAME_CHARS)
        if brace < 0:
            return REJECTED if len(text) - begin >= NAME_CHARS else None
        first, sep, second = text[begin:brace].partition(self.SEP)
        if not sep:
            return REJECTED
        name = second.split("```")[0].strip() or first.strip()
        return Arguments(self._offered, name, brace) if name in self._offered else REJECTED
