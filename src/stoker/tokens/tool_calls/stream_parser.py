"""Take tool calls out of a stream of text, so that no part of a call reaches the user as text."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from stoker.tokens.tool_calls.message_headers import (
    BODY_ENDS,
    FIRST_OPENINGS,
    HARMONY_OPENINGS,
    HEADERS,
)
from stoker.tokens.tool_calls.thinking_tags import CLOSING_TAGS, THINKING_TAGS
from stoker.tokens.tool_calls.unmarked_calls import Bare, Fenced

#: A call longer than this is given back as text, so that memory stays bounded.
MAX_CALL_CHARS = 1_000_000
#: When the answer has ended, how many unfinished calls are looked into for a finished one.
MAX_FINAL_ATTEMPTS = 16
_TAGS = (*THINKING_TAGS, *CLOSING_TAGS)
_WORDS = (*MARKERS, *HEADERS, *BODY_ENDS, *_TAGS)
_HELD = (*_WORDS, Fenced.OPEN)
_LONGEST_MARKER = max(map(len, _HELD))
_MARKER = re.compile(
    "|".join(re.escape(m) for m in sorted(_WORDS, key=len, reverse=True))
    + r"|(?P<bare>(?:(?<=\n)|\A)[ \t]*(?=[{\[]|```))"
)
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
        self._reader: MessageReader | None = None
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
            self._drop(at + len(word))
            self._held_blank = ""
        return None if word is None else bool(word)

    def _drop(self, length: int) -> None:
        """Take markers from the pending text; text that is given back still has them."""
        if self._held_from is not None:
            self._held_texts[-1] += self._pending[:length]
        self._pending = self._pending[length:]

    def _read_thought(self, message: FoundHeader, events: list[Event], final: bool) -> bool:
        """Pass reasoning on up to the end of its message; another message ends it as well."""
        ends = (*message.closings, *(HARMONY_OPENINGS if message.closings[1:] else ()))
        found = [(self._pending.find(end), end) for end in ends if end in self._pending]
        at, end = min(found, default=(len(self._pending), ""))
        keep = 0 if final or found else self._may_begin_marker()
        text, self._pending = self._pending[: at - keep], self._pending[at - keep :]
        if text:
            events.append(ThoughtPart(text))
            self._silent = False
            if self._held_from is not None:
                self._held_texts.append(text)
        if found:
            self._message, self._fresh, self._after_call = None, True, True
            self._drop(0 if end in HARMONY_OPENINGS else len(end))
        return bool(found)

    def _read_text(self, events: list[Event], final: bool) -> bool:
        match = self._find_marker()
        if match is None:
            keep = 0 if final else self._may_begin_marker()
            self._emit(events, len(self._pending) - keep)
            return False
        self._emit(events, match.start())
        word = match.group()
        if word in HEADERS and self._fresh:
            self._open_message(HEADERS[word])
        elif word in THINKING_TAGS:
            self._open_thinking(events, word)
        elif word in CLOSING_TAGS:
            self._close_thinking(events, len(word))
        elif word in BODY_ENDS:
            self._drop(len(word))
            self._message, self._fresh = None, True
        elif match.lastgroup == "bare":
            self._emit(events, len(match.group()))
            return self._begin_line(final)
        else:
            self._reader = MARKERS[word](self._offered, 0)
        return True

    def _open_message(self, header: FoundHeader) -> None:
        self._drop(header.end)
        self._message, self._fresh = header, True
        # Who writes headers writes its thinking behind one.
        self._thinking_is_over = True
        self._held_blank = ""

    def _begin_line(self, final: bool) -> bool:
        """Look at a line that begins with a bracket or a code fence."""
        if self._pending.startswith(Fenced.OPEN):
            return self._begin_fence(final)
        marker = next((m for m in MARKERS if self._pending.startswith(m)), None)
        if marker is not None:
            self._reader = MARKERS[marker](self._offered, 0)
            return True
        if self._pending.startswith(_TAGS):
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
            word, at_start = match.group(), match.start() <= blank
            span, read = span.after(self._pending[read : match.start()]), match.start()
            if word in CLOSING_TAGS:
                if self._may_close(word):
                    return match
                continue
            if word in THINKING_TAGS and not self._begins_line(match.start()):
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
        if word in THINKING_TAGS:
            return True
        if word in HEADERS or word in FIRST_OPENINGS:
            return self._fresh and at_start
        if word[:1].isalpha():
            return self._begins_line(match.start())
        is_end = word in BODY_ENDS
        return not is_end or (self._message is not None and word in self._message.closings)

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
        if self._held_from is None and not self._thinking_is_over:
            self._held_from = len(events)
        for call in found.calls:
            events.append(ToolCall(self.calls, self._new_id(), call.name, call.arguments))
            self.calls += 1
        if self._held_from is not None:  # several calls can be one text
            self._held_texts += [self._pending[: found.end], *[""] * (len(found.calls) - 1)]
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
        if self._held_from is not None:
            self._hold_text(events, text)
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

    def _hold_text(self, events: list[Event], text: str) -> None:
        """Remember what a held event is made of; blanks after a call belong to the call."""
        continues = isinstance(events[-1], TextPart) or (self._after_call and not text.strip())
        if continues:
            self._held_texts[-1] += text
        else:
            self._held_texts.append(text)


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
