"""What stands between the markers of a format: one call after the other, however written."""

from __future__ import annotations

import re
from typing import Literal

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
from stoker.tokens.tool_calls.call_validation import Call, ToolSchemas
from stoker.tokens.tool_calls.element_calls import ElementCall
from stoker.tokens.tool_calls.gemma_calls import GemmaCall
from stoker.tokens.tool_calls.json_calls import JsonValue, NamedArguments, is_json
from stoker.tokens.tool_calls.minimax_calls import MiniMaxCall
from stoker.tokens.tool_calls.python_calls import PythonCall, PythonCalls
from stoker.tokens.tool_calls.tagged_calls import TAGS, PairedCall, TaggedCall
from stoker.tokens.tool_calls.xml_calls import XmlFunction

_TAG_OPENINGS = {syntax.opening: syntax for syntax in TAGS}
#: Openings that stand within a block: tags of calls.
INNER_OPENINGS = (XmlFunction.OPEN, MiniMaxCall.OPEN, *_TAG_OPENINGS)
#: Behind it stands the number of the call, before its name.
SOLAR_OPENING = "<|tool_call:begin|>"
_SEPARATORS = ",;" + " \t\r\n"
#: Brackets too many at the end of JSON, as small models write them.
_STRAY = re.compile(r"[}\] \t\r\n]*")
#: MiniCPM 4 and small models write a code fence around the call, within the marker.
_FENCE = "```"
_PAIR_FOLLOWS = ("<arg_key", "<longcat_arg_key", "<ifm|arg_key", "<tool_sep")


class CallBlock:
    """Calls from ``start`` on, up to one of ``closings``; models sometimes forget that.

    ``nested`` maps the markers that may stand within to what closes them.
    """

    def __init__(
        self,
        offered: ToolSchemas,
        start: int,
        closings: tuple[str, ...],
        nested: dict[str, tuple[str, ...]],
        *,
        opening: str = "",
    ) -> None:
        self._offered = offered
        self._at = self._end = start
        self._opening = opening
        self._closings = closings
        self._nested = nested
        self._calls: tuple[Call, ...] = ()
        self._inner: Reader | None = None
        self._in_fence = False
        #: Whether the closing marker is part of the call, as it is behind pairs of tags.
        self._closes_itself = False

    def read(self, text: str, final: bool) -> Verdict:
        while True:
            if self._inner is None:
                chosen = self._next(text, final)
                if not callable(chosen):
                    return chosen
                self._inner = chosen
            verdict = self._inner(text, final)
            if verdict is None:
                return None
            self._inner = None
            if isinstance(verdict, Rejected):
                return self._found()
            self._calls += verdict.calls
            self._at = self._end = verdict.end
            if self._closes_itself:
                return self._found()

    def _found(self) -> Verdict:
        return FoundCall(self._calls, self._end) if self._calls else REJECTED

    def _next(self, text: str, final: bool) -> Reader | Verdict:
        """Return what reads the next call, or what was found where there is none."""
        at = skip_blank(text, self._at)
        if self._calls:
            closed = self._closed(text, final)
            if closed is None:
                return self._found() if final else None
            if closed is not False:
                return FoundCall(self._calls, closed)
            while at < len(text) and text[at] in _SEPARATORS:
                at += 1
        else:
            at = self._within_fence(text, at)
        if at == len(text):
            return self._found() if final else None
        chosen = self._choose(text, at)
        if chosen is None:
            return self._found() if final else None
        return self._found() if isinstance(chosen, Rejected) else chosen

    def _within_fence(self, text: str, at: int) -> int:
        """Return where the call begins: behind the line of a fence, if there is one."""
        fence = word_at(text, at, (_FENCE,))
        line_end = text.find("\n", at)
        if fence is False:
            return at
        if not fence or line_end < 0:
            return len(text)
        self._in_fence, self._at = True, line_end
        return skip_blank(text, line_end)

    def _closed(self, text: str, final: bool) -> int | Literal[False] | None:
        """Return the index behind the closing marker, ``False`` where another thing follows."""
        if not self._closings:
            at = skip_blank(text, self._end)
            if at == len(text):
                return None
            return False if text[at] in ",;" else self._end
        stray = _STRAY.match(text, self._end)
        at = self._end if stray is None else stray.end()
        fence = word_at(text, at, (_FENCE,)) if self._in_fence else False
        if fence:
            at = skip_blank(text, at + len(fence))
        if at == len(text):
            return at if final else None
        word = word_at(text, at, self._closings)
        if word is None or fence is None:
            return None
        if word:
            return at + len(word)
        return self._reopened(text, at, final)

    def _reopened(self, text: str, at: int, final: bool) -> int | Literal[False] | None:
        """An opening marker with no call behind it stands for the closing one."""
        word = word_at(text, at, (self._opening,)) if self._opening else False
        if not word:
            return None if word is None else False
        behind = skip_blank(text, at + len(word))
        if behind == len(text):
            return behind if final else None
        return at + len(word) if text[behind] not in "{[<" else False

    def _choose(self, text: str, at: int) -> Reader | Rejected | None:
        sign = text[at]
        if sign in "{[":
            json = is_json(text, at)
            if json is None:
                return None
            value = JsonValue(self._offered, at, sure=True, closings=self._closings)
            return value.read if json else PythonCalls(self._offered, at).read
        if self._opening == SOLAR_OPENING:
            return NamedArguments(self._offered, at).read
        tags = self._choose_tags(text, at)
        return self._choose_name(text, at) if tags is REJECTED else tags

    def _choose_tags(self, text: str, at: int) -> Reader | Rejected | None:
        openings = (*INNER_OPENINGS, *self._nested, GemmaCall.OPEN, ElementCall.OPEN)
        word = word_at(text, at, openings)
        if not word:
            return None if word is None and not text[at].isalpha() else REJECTED
        if word == GemmaCall.OPEN:
            return GemmaCall(self._offered, at).read
        if word == ElementCall.OPEN:
            return ElementCall(self._offered, at + len(word)).read
        if word in self._nested:
            closings = self._nested[word]
            return CallBlock(self._offered, at + len(word), closings, {}, opening=word).read
        return tag_reader(self._offered, at, word, self._closings)

    def _choose_name(self, text: str, at: int) -> Reader | Rejected | None:
        """Choose by what follows a name: a bracket, pairs of tags, or a special token."""
        match = IDENTIFIER.match(text, at)
        if match is None:
            return REJECTED
        if match.end() == len(text):
            may_be = self._offered.may_name(match.group()) or "function".startswith(match.group())
            return None if may_be or GemmaCall.OPEN.startswith(match.group()) else REJECTED
        if text[match.end()] == "(":
            return PythonCall(self._offered, at).read
        behind = skip_blank(text, match.end())
        pairs = word_at(text, behind, (*_PAIR_FOLLOWS, *self._closings))
        if pairs is None:
            return None
        if pairs and self._closings:
            self._closes_itself = True
            return PairedCall(self._offered, at, self._closings[0]).read
        known = self._offered.may_name(match.group()) or match.group() == "function"
        return NamedArguments(self._offered, at).read if known else REJECTED


def tag_reader(offered: ToolSchemas, at: int, word: str, closings: tuple[str, ...] = ()) -> Reader:
    """Return what reads the call whose opening tag ``word`` stands at ``at``."""
    if word == XmlFunction.OPEN:
        return XmlFunction(offered, at, closings).read
    if word == MiniMaxCall.OPEN:
        return MiniMaxCall(offered, at).read
    return TaggedCall(offered, at, _TAG_OPENINGS[word], closings).read
