"""Take tool calls out of a stream of text, so that no part of a call reaches the user as text."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.tool_calls.call_candidate import (
    REJECTED,
    FoundCall,
    FoundHeader,
    MessageReader,
    Verdict,
    skip_blank,
    word_at,
)
from stoker.tokens.tool_calls.call_formats import CLOSINGS, MARKERS
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.message_headers import BODY_ENDS, HARMONY_OPENINGS, HEADERS
from stoker.tokens.tool_calls.unmarked_calls import Bare, Fenced

#: A call longer than this is given back as text, so that memory stays bounded.
MAX_CALL_CHARS = 1_000_000
#: When the answer has ended, how many unfinished calls are looked into for a finished one.
MAX_FINAL_ATTEMPTS = 16
_THINK, _END_THINK = "<think>", "</think>"
_WORDS = (*MARKERS, *HEADERS, *BODY_ENDS, _THINK)
_HELD = (*_WORDS, Fenced.OPEN)
_LONGEST_MARKER = max(map(len, _HELD))
_MARKER = re.compile(
    "|".join(re.escape(m) for m in sorted(_WORDS, key=len, reverse=True))
    + r"|(?P<bare>(?:(?<=\n)|\A)[ \t]*(?=[{\[]|```))"
)
#: What begins a message only where one may begin: elsewhere these words are plain text. Other
#: markers that begin with a letter count at the beginning of a line.
_FIRST_ONLY = frozenset(HARMONY_OPENINGS[2:])
_MAX_FENCE_CHARS = 80
_SPAN_STEP = re.compile(r"`+|\n|[^`\n]+")
_PREFIXES = frozenset(marker[:length] for marker in _HELD for length in range(1, len(marker)))


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One complete call. ``index`` counts from 0; ``arguments`` is a valid JSON object."""

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ThoughtPart:
    """Reasoning that the model marked as such: no part of the answer."""

    text: str


Event = TextPart | ThoughtPart | ToolCall


def new_call_id() -> str:
    """Return an id that no other call has."""
    return f"call_{secrets.token_hex(12)}"


def _no_call(text: str, final: bool) -> Verdict:
    return REJECTED


class ToolCallParser:
    """Reads the text of one answer in pieces of any size.

    Only names in ``tools`` count as calls; everything else is text, and comes out as it went in.
    Text that can't begin a call is passed on at once.
    """

    def __init__(
        self, tools: Sequence[Mapping[str, Any]], *, new_id: Callable[[], str] = new_call_id
    ) -> None:
        self._offered = ToolSchemas(tools)
        self._new_id = new_id
        self._pending = ""
        self._reader: MessageReader | None = None
        self._line_start = True
        #: Only white space has come yet: only then does ``<think>`` begin reasoning.
        self._silent = True
        self._thinking = False
        #: Inside of a code block that is no call, brackets at the beginning of a line are code.
        self._in_code = False
        #: White space after a call, which is no answer if nothing follows it.
        self._after_call = False
        self._held_blank = ""
        #: The message that the text is in, where the model writes several behind headers.
        self._message: FoundHeader | None = None
        #: Nothing but white space has come since the beginning, a call or the end of a message:
        #: only there a header begins a message. Anywhere else it is quoted.
        self._fresh = True
        #: Inside of a fence of a language in which no model calls tools, everything is text.
        self._quoting = False
        self._code_span = _CodeSpan()
        self._attempts_left = MAX_FINAL_ATTEMPTS
        self.calls = 0
        #: After ``finish``: the tool whose call the text breaks off in, if it does.
        self.unfinished_call: str | None = None

    @property
    def is_thinking(self) -> bool:
        """Whether the text so far is reasoning that was not closed."""
        return self._thinking

    def feed(self, text: str) -> list[Event]:
        """Take the next piece of the answer; return what is certain by now."""
        self._pending += text
        return self._read(final=False)

    def finish(self) -> list[Event]:
        """End the answer; return what was still held back."""
        candidate, calls = self._pending if self._reader else "", self.calls
        events = self._read(final=True)
        self.unfinished_call = self._offered.named_in(candidate) if self.calls == calls else None
        return events

    def _read(self, *, final: bool) -> list[Event]:
        events: list[Event] = []
        while self._pending and self._step(events, final):
            pass
        return events

    def _step(self, events: list[Event], final: bool) -> bool:
        """Do one thing with the pending text; return whether there may be more to do."""
        if self._reader is not None:
            return self._read_candidate(self._reader, events, final)
        if self._thinking:
            return self._read_thinking(events, final)
        if self._message is not None and self._message.thought:
            return self._read_thought(self._message, events, final)
        if self._after_call and (dropped := self._drop_closing(final)) is not False:
            return bool(dropped)
        return self._read_text(events, final)

    def _drop_closing(self, final: bool) -> bool | None:
        """Drop a closing marker directly behind a call; ``None`` while it may become one."""
        at = skip_blank(self._pending, 0)
        word = word_at(self._pending, at, CLOSINGS)
        if word is None and (final or at == len(self._pending)):
            return False
        if word:
            self._pending, self._held_blank = self._pending[at + len(word) :], ""
        return None if word is None else bool(word)

    def _read_thought(self, message: FoundHeader, events: list[Event], final: bool) -> bool:
        """Pass reasoning on up to the end of its message; another message ends it as well."""
        ends = (*message.closings, *(HARMONY_OPENINGS[:2] if message.closings[1:] else ()))
        found = [(self._pending.find(end), end) for end in ends if end in self._pending]
        at, end = min(found, default=(len(self._pending), ""))
        keep = 0 if final or found else self._may_begin_marker()
        text, rest = self._pending[: at - keep], self._pending[at - keep :]
        if text:
            events.append(ThoughtPart(text))
            self._silent = False
        if found:
            self._message, self._fresh, self._after_call = None, True, True
            rest = rest if end in HARMONY_OPENINGS else rest[len(end) :]
        self._pending = rest
        return bool(found)

    def _read_text(self, events: list[Event], final: bool) -> bool:
        match = self._find_marker()
        if match is None:
            keep = 0 if final else self._may_begin_marker()
            self._emit(events, len(self._pending) - keep)
            return False
        self._emit(events, match.start())
        word = match.group()
        if word == _THINK:
            self._thinking = True
        elif word in HEADERS:
            self._open_message(HEADERS[word])
        elif word in BODY_ENDS:
            self._pending = self._pending[len(word) :]
            self._message, self._fresh = None, True
        elif match.lastgroup == "bare":
            self._emit(events, len(match.group()))
            return self._begin_line(final)
        else:
            self._reader = MARKERS[word](self._offered, 0)
        return True

    def _open_message(self, header: FoundHeader) -> None:
        self._pending = self._pending[header.end :]
        self._message, self._fresh = header, True
        self._held_blank = ""

    def _begin_line(self, final: bool) -> bool:
        """Look at a line that begins with a bracket or a code fence."""
        if self._pending.startswith(Fenced.OPEN):
            return self._begin_fence(final)
        marker = next((m for m in MARKERS if self._pending.startswith(m)), None)
        if marker is not None:
            self._reader = MARKERS[marker](self._offered, 0)
            return True
        if self._pending in _PREFIXES and not final:
            return False  # it is a marker once the rest has come
        self._reader = _no_call if self._in_code else Bare(self._offered, 0).read
        return True

    def _begin_fence(self, final: bool) -> bool:
        line, ended, _ = self._pending.partition("\n")
        if not ended and not final and len(line) < _MAX_FENCE_CHARS:
            return False
        self._in_code = not self._in_code
        self._quoting = self._in_code and Fenced.quotes(line)
        self._reader = Fenced(self._offered, 0).read
        if self._quoting or not self._in_code:
            self._reader = _no_call
        return True

    def _find_marker(self) -> re.Match[str] | None:
        blank = len(self._pending) - len(self._pending.lstrip())
        span, read = self._code_span, 0
        for match in _MARKER.finditer(self._pending):
            at_start = match.start() <= blank
            span, read = span.after(self._pending[read : match.start()]), match.start()
            if match.group() == _THINK and not (self._silent and at_start):
                continue
            if match.lastgroup == "bare" and match.start() == 0 and not self._line_start:
                continue
            if self._is_quoted(match, span) or not self._counts(match, at_start):
                continue
            return match
        return None

    def _counts(self, match: re.Match[str], at_start: bool) -> bool:
        """Whether a header, or the end of a message, is where one may be."""
        word = match.group()
        if word in HEADERS or word in _FIRST_ONLY:
            return self._fresh and at_start
        if word[:1].isalpha():
            return self._begins_line(match.start())
        is_end = word in BODY_ENDS
        return not is_end or (self._message is not None and word in self._message.closings)

    def _begins_line(self, at: int) -> bool:
        """Whether only white space stands before ``at`` in its line."""
        _, line_end, line = self._pending[:at].rpartition("\n")
        return not line.strip() and (bool(line_end) or self._line_start)

    def _is_quoted(self, match: re.Match[str], span: _CodeSpan) -> bool:
        """Whether a marker stands in a fence of another language, or between backticks."""
        if match.lastgroup == "bare":
            return self._quoting and not self._pending.startswith(Fenced.OPEN, match.end())
        return self._quoting or span.is_open

    def _may_begin_marker(self) -> int:
        """Return how many characters at the end may become a marker with what comes next."""
        tail = self._pending[-_LONGEST_MARKER:]
        for length in range(len(tail), 0, -1):
            begun = tail[-length:]
            if begun in _PREFIXES and not (
                begun[0].isalpha() and not self._begins_line(len(self._pending) - length)
            ):
                return length
        return 0

    def _read_thinking(self, events: list[Event], final: bool) -> bool:
        end = self._pending.find(_END_THINK)
        if end >= 0:
            self._emit(events, end + len(_END_THINK))
            self._thinking = False
            return True
        keep = 0 if final else len(_END_THINK) - 1
        self._emit(events, max(0, len(self._pending) - keep))
        return False

    def _read_candidate(self, reader: MessageReader, events: list[Event], final: bool) -> bool:
        verdict = reader(self._pending, final)
        if isinstance(verdict, FoundHeader) and not (self._fresh or self._message):
            verdict = REJECTED
        if verdict is None and len(self._pending) <= MAX_CALL_CHARS:
            return False
        self._reader = None
        if isinstance(verdict, FoundHeader):
            self._open_message(verdict)
            return True
        is_fence = self._pending.startswith(Fenced.OPEN)
        if isinstance(verdict, FoundCall):
            self._in_code = self._in_code and not is_fence
            self._emit_calls(events, verdict)
            return True
        self._attempts_left -= final
        hopeless = verdict is None or self._attempts_left <= 0
        # It begins no call; a marker may still stand further on.
        shown = len(Fenced.OPEN) if is_fence else 1
        self._emit(events, len(self._pending) if hopeless else shown)
        return True

    def _emit_calls(self, events: list[Event], found: FoundCall) -> None:
        for call in found.calls:
            events.append(ToolCall(self.calls, self._new_id(), call.name, call.arguments))
            self.calls += 1
        self._pending = self._pending[found.end :]
        self._line_start = self._after_call = self._fresh = True
        self._message = None
        self._code_span = _CodeSpan()
        self._silent = False
        self._held_blank = ""

    def _emit(self, events: list[Event], length: int) -> None:
        """Pass on the first ``length`` pending characters as text."""
        if length <= 0:
            return
        text, self._pending = self._pending[:length], self._pending[length:]
        self._code_span = self._code_span.after(text)
        self._fresh = self._fresh and not text.strip()
        line = text.rpartition("\n")[2]
        self._line_start = not line.strip(" \t") and ("\n" in text or self._line_start)
        if self._after_call and not text.strip():
            self._held_blank += text
            return
        self._silent = self._silent and not text.strip()
        text = self._held_blank + text
        self._after_call, self._held_blank = False, ""
        before = events[-1] if events else None
        if isinstance(before, TextPart):
            events[-1] = TextPart(before.text + text)
        else:
            events.append(TextPart(text))


@dataclass(frozen=True, slots=True)
class _CodeSpan:
    """Whether the text so far ends within backticks, which quote a marker in its line."""

    inside: bool = False
    run: int = 0

    @property
    def is_open(self) -> bool:
        return self.inside != (0 < self.run < len(Fenced.OPEN))

    def after(self, text: str) -> _CodeSpan:
        """Return what holds once ``text`` has come too."""
        if "`" not in text and "\n" not in text:
            return _CodeSpan(self.is_open) if text else self
        now = self
        for part in _SPAN_STEP.findall(text):
            if part[0] == "`":
                now = _CodeSpan(now.inside, now.run + len(part))
            else:
                now = _CodeSpan(now.is_open and part != "\n")
        return now


def parse_answer(
    text: str, tools: Sequence[Mapping[str, Any]], *, new_id: Callable[[], str] = new_call_id
) -> tuple[str, list[ToolCall]]:
    """Return the text for the user and the calls of a complete answer."""
    parser = ToolCallParser(tools, new_id=new_id)
    events = [*parser.feed(text), *parser.finish()]
    said = "".join(event.text for event in events if isinstance(event, TextPart))
    return said, [event for event in events if isinstance(event, ToolCall)]
