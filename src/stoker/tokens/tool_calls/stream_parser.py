"""Take tool calls out of a stream of text, so that no part of a call reaches the user as text."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stoker.tokens.tool_calls.call_candidate import REJECTED, FoundCall, Reader, Verdict
from stoker.tokens.tool_calls.call_formats import MARKERS
from stoker.tokens.tool_calls.call_validation import ToolSchemas
from stoker.tokens.tool_calls.thinking_tags import CLOSING_TAGS, THINKING_TAGS
from stoker.tokens.tool_calls.unmarked_calls import Bare, Fenced

#: A call longer than this is given back as text, so that memory stays bounded.
MAX_CALL_CHARS = 1_000_000
#: When the answer has ended, how many unfinished calls are looked into for a finished one.
MAX_FINAL_ATTEMPTS = 16
_TAGS = (*THINKING_TAGS, *CLOSING_TAGS)
_HELD = (*MARKERS, *_TAGS, Fenced.OPEN)
_LONGEST_MARKER = max(map(len, _HELD))
_MARKER = re.compile(
    "|".join(re.escape(m) for m in sorted((*MARKERS, *_TAGS), key=len, reverse=True))
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

    What stands before a ``</think>`` is thinking, and a call in it was only thought of. Many
    templates write the ``<think>`` into the prompt, so an answer does not show that it begins with
    thinking. So a call, and all that follows it, is held until the thinking is over or the answer
    is. Thinking that never ends, opened in the text or with ``thinking``, makes a call only of
    what stands at its very end: the model forgot to close it.
    """

    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]],
        *,
        new_id: Callable[[], str] = new_call_id,
        thinking: bool = False,
    ) -> None:
        self._offered = ToolSchemas(tools)
        self._new_id = new_id
        self._pending = ""
        self._reader: Reader | None = None
        self._line_start = True
        #: Only white space has come yet.
        self._silent = True
        #: The tag that closes the thinking which the answer began with.
        self._closing = THINKING_TAGS["<think>"] if thinking else ""
        #: No closing tag can follow that makes thinking of the text so far.
        self._thinking_is_over = False
        #: Events that are held, beginning with a call, and the text that each was made of.
        self._held: list[Event] = []
        self._held_from: int | None = None
        self._held_texts: list[str] = []
        #: Inside of a code block that is no call, brackets at the beginning of a line are code.
        self._in_code = False
        #: White space after a call, which is no answer if nothing follows it.
        self._after_call = False
        self._held_blank = ""
        self._attempts_left = MAX_FINAL_ATTEMPTS
        self.calls = 0
        #: How often a closing tag showed that what stands before it was thinking.
        self.thoughts = 0
        #: After ``finish``: the tool whose call the text breaks off in, if it does.
        self.unfinished_call: str | None = None

    @property
    def may_be_thinking(self) -> bool:
        """Whether the text so far can still turn out to be thinking."""
        return not (self._silent or self._thinking_is_over)

    @property
    def has_rest(self) -> bool:
        """Whether something is held back."""
        return bool(self._pending or self._held)

    def end_thinking(self) -> None:
        """What comes now is the answer: the server sends the thinking apart from it."""
        self._release()
        self._closing, self._thinking_is_over = "", True

    def feed(self, text: str) -> list[Event]:
        """Take the next piece of the answer; return what is certain by now."""
        self._pending += text
        return self._read(final=False)

    def finish(self, *, cut: bool = False, broken: bool = False) -> list[Event]:
        """End the answer; return what was still held back.

        ``cut``: it ends at a limit, or has calls from elsewhere: then thinking that was not closed
        has no calls. ``broken``: it is not complete, so all that is held may be thinking.
        """
        candidate, calls = self._pending if self._reader else "", self.calls
        events = self._read(final=True)
        if self._closing or broken:
            self._keep_last_calls(events, cut or broken)
        self._release()
        self.unfinished_call = self._offered.named_in(candidate) if self.calls == calls else None
        return events

    def _read(self, *, final: bool) -> list[Event]:
        events, self._held = self._held, []
        while self._pending and self._step(events, final):
            pass
        if self._held_from is None or final:
            return events
        if sum(map(len, self._held_texts)) > MAX_CALL_CHARS:
            self._release()
            return events
        self._held, events = events[self._held_from :], events[: self._held_from]
        self._held_from = 0
        return events

    def _step(self, events: list[Event], final: bool) -> bool:
        """Do one thing with the pending text; return whether there may be more to do."""
        if self._closing and self._closing in self._pending:
            self._close_thinking(events, self._pending.index(self._closing) + len(self._closing))
            return True
        if self._reader is not None:
            return self._read_candidate(self._reader, events, final)
        return self._read_text(events, final)

    def _read_text(self, events: list[Event], final: bool) -> bool:
        match = self._find_marker()
        if match is None:
            keep = 0 if final else self._may_begin_marker()
            self._emit(events, len(self._pending) - keep)
            return False
        self._emit(events, match.start())
        if match.group() in THINKING_TAGS:
            self._open_thinking(events, match.group())
        elif match.group() in CLOSING_TAGS:
            self._close_thinking(events, len(match.group()))
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
        if self._pending.startswith(_TAGS):
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
            if match.group() in THINKING_TAGS and not self._begins_line(match.start()):
                continue
            if match.group() in CLOSING_TAGS and not self._may_close(match.group()):
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

    def _may_close(self, tag: str) -> bool:
        """Whether a closing tag ends the thinking: of the tag that opened it, or of any."""
        return not self._thinking_is_over and self._closing in ("", tag)

    def _begins_line(self, start: int) -> bool:
        """Whether only blanks stand between ``start`` and the beginning of its line, or a call."""
        _, line_end, line = self._pending[:start].rpartition("\n")
        return not line.strip(" \t") and bool(line_end or self._line_start)

    def _open_thinking(self, events: list[Event], tag: str) -> None:
        if self._silent:
            self._closing = THINKING_TAGS[tag]
        elif not self._closing:
            self._release()  # it stands before this thinking
        self._thinking_is_over = False
        self._emit(events, len(tag))

    def _close_thinking(self, events: list[Event], length: int) -> None:
        """The first ``length`` pending characters end it: no call so far was one."""
        self._reader = None
        self._emit(events, length)
        self._give_back(events, len(self._held_texts))
        self._release()
        self.thoughts += 1
        self._closing, self._thinking_is_over = "", True
        self._in_code, self._line_start = False, True

    def _keep_last_calls(self, events: list[Event], cut: bool) -> None:
        """Of what is held, only the calls that nothing follows are calls; without ``cut``."""
        if self._held_from is None:
            return
        held = events[self._held_from :]
        calls = 0
        while not cut and calls < len(held) and isinstance(held[-1 - calls], ToolCall):
            calls += 1
        self._give_back(events, len(held) - calls)

    def _give_back(self, events: list[Event], count: int) -> None:
        """Make text again of the first ``count`` events that are held."""
        if self._held_from is None or not count:
            return
        start, end = self._held_from, self._held_from + count
        fewer = sum(isinstance(event, ToolCall) for event in events[start:end])
        self.calls -= fewer
        left = [
            replace(event, index=event.index - fewer) if isinstance(event, ToolCall) else event
            for event in events[end:]
        ]
        events[start:] = [TextPart("".join(self._held_texts[:count])), *left]

    def _release(self) -> None:
        """What is held is what it seems to be."""
        self._held_from = None
        self._held_texts = []

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
        if self._held_from is None and not self._thinking_is_over:
            self._held_from = len(events)
        for call in found.calls:
            events.append(ToolCall(self.calls, self._new_id(), call.name, call.arguments))
            self.calls += 1
        if self._held_from is not None:  # several calls can be one text
            self._held_texts += [self._pending[: found.end], *[""] * (len(found.calls) - 1)]
        self._pending = self._pending[found.end :]
        self._line_start = self._after_call = True
        self._silent = False
        self._held_blank = ""

    def _emit(self, events: list[Event], length: int) -> None:
        """Pass on the first ``length`` pending characters as text."""
        if length <= 0:
            return
        text, self._pending = self._pending[:length], self._pending[length:]
        if self._held_from is not None:
            self._hold_text(events, text)
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

    def _hold_text(self, events: list[Event], text: str) -> None:
        """Remember what a held event is made of; blanks after a call belong to the call."""
        continues = isinstance(events[-1], TextPart) or (self._after_call and not text.strip())
        if continues:
            self._held_texts[-1] += text
        else:
            self._held_texts.append(text)


def parse_answer(
    text: str, tools: Sequence[Mapping[str, Any]], *, new_id: Callable[[], str] = new_call_id
) -> tuple[str, list[ToolCall]]:
    """Return the text for the user and the calls of a complete answer."""
    parser = ToolCallParser(tools, new_id=new_id)
    events = [*parser.feed(text), *parser.finish()]
    said = "".join(event.text for event in events if isinstance(event, TextPart))
    return said, [event for event in events if isinstance(event, ToolCall)]
