"""Take tool calls out of a stream of text, so that no part of a call reaches the user as text."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.tokens.tool_calls.call_candidate import REJECTED, FoundCall, Reader, Verdict
from stoker.tokens.tool_calls.call_formats import MARKERS
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.unmarked_calls import Bare, Fenced

#: A call longer than this is given back as text, so that memory stays bounded.
MAX_CALL_CHARS = 1_000_000
#: When the answer has ended, how many unfinished calls are looked into for a finished one.
MAX_FINAL_ATTEMPTS = 16
_THINK, _END_THINK = "<think>", "</think>"
_HELD = (*MARKERS, _THINK, Fenced.OPEN)
_LONGEST_MARKER = max(map(len, _HELD))
_MARKER = re.compile(
    "|".join(re.escape(m) for m in sorted((*MARKERS, _THINK), key=len, reverse=True))
    + r"|(?P<bare>(?:(?<=\n)|\A)[ \t]*(?=[{\[]|```))"
)
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


Event = TextPart | ToolCall


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
        self._reader: Reader | None = None
        self._line_start = True
        #: Only white space has come yet: only then does ``<think>`` begin reasoning.
        self._silent = True
        self._thinking = False
        #: Inside of a code block that is no call, brackets at the beginning of a line are code.
        self._in_code = False
        #: White space after a call, which is no answer if nothing follows it.
        self._after_call = False
        self._held_blank = ""
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
        return self._read_text(events, final)

    def _read_text(self, events: list[Event], final: bool) -> bool:
        match = self._find_marker()
        if match is None:
            keep = 0 if final else self._may_begin_marker()
            self._emit(events, len(self._pending) - keep)
            return False
        self._emit(events, match.start())
        if match.group() == _THINK:
            self._thinking = True
        elif match.lastgroup == "bare":
            self._emit(events, len(match.group()))
            return self._begin_line(final)
        else:
            self._reader = MARKERS[match.group()](self._offered, 0)
        return True

    def _begin_line(self, final: bool) -> bool:
        """Look at a line that begins with a bracket or a code fence."""
        marker = next((m for m in MARKERS if self._pending.startswith(m)), None)
        if marker is not None:
            self._reader = MARKERS[marker](self._offered, 0)
            return True
        if self._pending.startswith("[") and self._pending in _PREFIXES and not final:
            return False  # it is a marker once the rest has come
        if self._pending.startswith(Fenced.OPEN):
            self._in_code = not self._in_code
            self._reader = Fenced(self._offered, 0).read if self._in_code else _no_call
        else:
            self._reader = _no_call if self._in_code else Bare(self._offered, 0).read
        return True

    def _find_marker(self) -> re.Match[str] | None:
        for match in _MARKER.finditer(self._pending):
            at_start = not self._pending[: match.start()].strip()
            if match.group() == _THINK and not (self._silent and at_start):
                continue
            if match.lastgroup == "bare" and match.start() == 0 and not self._line_start:
                continue
            return match
        return None

    def _may_begin_marker(self) -> int:
        """Return how many characters at the end may become a marker with what comes next."""
        tail = self._pending[-_LONGEST_MARKER:]
        for length in range(len(tail), 0, -1):
            if tail[-length:] in _PREFIXES:
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

    def _read_candidate(self, reader: Reader, events: list[Event], final: bool) -> bool:
        verdict = reader(self._pending, final)
        if verdict is None and len(self._pending) <= MAX_CALL_CHARS:
            return False
        self._reader = None
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
        self._line_start = self._after_call = True
        self._silent = False
        self._held_blank = ""

    def _emit(self, events: list[Event], length: int) -> None:
        """Pass on the first ``length`` pending characters as text."""
        if length <= 0:
            return
        text, self._pending = self._pending[:length], self._pending[length:]
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


def parse_answer(
    text: str, tools: Sequence[Mapping[str, Any]], *, new_id: Callable[[], str] = new_call_id
) -> tuple[str, list[ToolCall]]:
    """Return the text for the user and the calls of a complete answer."""
    parser = ToolCallParser(tools, new_id=new_id)
    events = [*parser.feed(text), *parser.finish()]
    said = "".join(event.text for event in events if isinstance(event, TextPart))
    return said, [event for event in events if isinstance(event, ToolCall)]
