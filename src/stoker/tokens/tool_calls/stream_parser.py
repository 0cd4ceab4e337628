"""Take tool calls out of a stream of text, so that no part of a call reaches the user as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stoker.tokens.tool_calls.answer_events import (
    AnswerEvents,
    Event,
    TextPart,
    ToolCall,
    new_call_id,
)
from stoker.tokens.tool_calls.call_candidate import (
    BLANK,
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
from stoker.tokens.tool_calls.marker_search import PREFIXES, MarkerSearch
from stoker.tokens.tool_calls.message_headers import BODY_ENDS, HARMONY_OPENINGS, HEADERS
from stoker.tokens.tool_calls.named_calls import named_reader
from stoker.tokens.tool_calls.thinking_state import ThinkingState
from stoker.tokens.tool_calls.thinking_tags import CLOSING_TAGS, THINKING_TAGS
from stoker.tokens.tool_calls.unmarked_calls import Bare, Fenced

#: A call longer than this is given back as text, so that memory stays bounded.
MAX_CALL_CHARS = 1_000_000
#: When the answer has ended, how many unfinished calls are looked into for a finished one.
MAX_FINAL_ATTEMPTS = 16
_TAGS = (*THINKING_TAGS, *CLOSING_TAGS)
#: At most this much of a fence's first line is looked at, however large the pieces are.
_MAX_FENCE_CHARS = 80


def _no_call(text: str, final: bool) -> Verdict:
    return REJECTED


class ToolCallParser:
    """Reads the text of one answer in pieces of any size.

    Only names in ``tools`` count as calls; everything else is text, and comes out as it went in.
    Text that can't begin a call is passed on at once.

    What stands before a ``</think>`` is thinking, and a call in it was only thought of
    (``ThinkingState``). So a call, and all that follows it, is held until the thinking is over or
    the answer is. Thinking that never ends, opened in the text or with ``thinking``, makes a call
    only of what stands at its very end: the model forgot to close it.
    """

    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]],
        *,
        new_id: Callable[[], str] = new_call_id,
        thinking: bool = False,
    ) -> None:
        self._offered = ToolSchemas(tools)
        self._events = AnswerEvents(new_id)
        self._pending = ""
        self._reader: MessageReader | None = None
        self._search = MarkerSearch(self._offered)
        #: Only white space has come yet.
        self._silent = True
        self._thinking = ThinkingState(begun=thinking)
        #: The message that the text is in, where the model writes several behind headers.
        self._message: FoundHeader | None = None
        self._attempts_left = MAX_FINAL_ATTEMPTS
        #: After ``finish``: the tool whose call the text breaks off in, if it does.
        self.unfinished_call: str | None = None

    @property
    def calls(self) -> int:
        """The calls so far."""
        return self._events.calls

    @property
    def may_be_thinking(self) -> bool:
        """Whether the text so far can still turn out to be thinking."""
        return not (self._silent or self._thinking.is_over)

    @property
    def thoughts(self) -> int:
        """How often a closing tag showed that what stands before it was thinking."""
        return self._thinking.closed

    @property
    def has_rest(self) -> bool:
        """Whether something is held back."""
        return bool(self._pending) or self._events.has_rest

    def end_thinking(self) -> None:
        """What comes now is the answer: the server sends the thinking apart from it."""
        self._events.release()
        self._thinking.end()

    def feed(self, text: str) -> list[Event]:
        """Take the next piece of the answer; return what is certain by now."""
        self._pending += text
        self._read(final=False)
        return self._events.take()

    def finish(self, *, cut: bool = False, broken: bool = False) -> list[Event]:
        """End the answer; return what was still held back.

        ``cut``: it ends at a limit, or has calls from elsewhere: then thinking that was not closed
        has no calls. ``broken``: it is not complete, so all that is held may be thinking.
        """
        candidate, calls = self._pending if self._reader else "", self.calls
        self._read(final=True)
        if self._thinking.closing or broken:
            self._events.keep_last_calls(cut=cut or broken)
        self._events.release()
        self.unfinished_call = self._offered.named_in(candidate) if self.calls == calls else None
        return self._events.take()

    def _read(self, *, final: bool) -> None:
        while self._pending and self._step(final):
            pass

    def _step(self, final: bool) -> bool:
        """Do one thing with the pending text; return whether there may be more to do."""
        if closing := self._thinking.closing_end(self._pending):
            self._close_thinking(closing)
            return True
        if self._reader is not None:
            return self._read_candidate(self._reader, final)
        if self._message is not None and self._message.thought:
            return self._read_thought(self._message, final)
        if self._events.after_call and (dropped := self._drop_closing(final)) is not False:
            return bool(dropped)
        return self._read_text(final)

    def _drop_closing(self, final: bool) -> bool | None:
        """Drop a closing marker directly behind a call; ``None`` while it may become one."""
        at = skip_blank(self._pending, 0)
        word = word_at(self._pending, at, CLOSINGS)
        if word is None and (final or at == len(self._pending)):
            return False
        if word:
            self._drop(at + len(word))
            self._events.drop_blank()
        return None if word is None else bool(word)

    def _drop(self, length: int) -> None:
        """Take markers from the pending text; text that is given back still has them."""
        self._events.drop(self._pending[:length])
        self._pending = self._pending[length:]

    def _read_thought(self, message: FoundHeader, final: bool) -> bool:
        """Pass reasoning on up to the end of its message; another message ends it as well."""
        ends = (*message.closings, *(HARMONY_OPENINGS if message.closings[1:] else ()))
        found = [(self._pending.find(end), end) for end in ends if end in self._pending]
        at, end = min(found, default=(len(self._pending), ""))
        keep = 0 if final or found else self._search.may_begin_marker(self._pending)
        text, self._pending = self._pending[: at - keep], self._pending[at - keep :]
        if text:
            self._events.add_thought(text)
            self._silent = False
        if found:
            self._message, self._search.fresh, self._events.after_call = None, True, True
            self._drop(0 if end in HARMONY_OPENINGS else len(end))
        return bool(found)

    def _read_text(self, final: bool) -> bool:
        closings = self._message.closings if self._message else ()
        match = self._search.find(self._pending, self._thinking.closing_tags, closings)
        if match is None:
            keep = 0 if final else self._search.may_begin_marker(self._pending)
            self._emit(len(self._pending) - keep)
            return False
        self._emit(match.start())
        word = match.group()
        if word in HEADERS and self._search.fresh:
            self._open_message(HEADERS[word])
        elif word in THINKING_TAGS:
            self._open_thinking(word)
        elif word in CLOSING_TAGS:
            self._close_thinking(len(word))
        elif word in BODY_ENDS:
            self._drop(len(word))
            self._message, self._search.fresh = None, True
        elif match.lastgroup == "bare":
            self._emit(len(match.group()))
            return self._begin_line(final)
        elif match.lastgroup == "named":
            self._emit(len(word))
            self._reader = named_reader(self._offered, self._pending, 0)
        else:
            self._reader = MARKERS[word](self._offered, 0)
        return True

    def _open_message(self, header: FoundHeader) -> None:
        self._drop(header.end)
        self._message, self._search.fresh = header, True
        # A model that writes headers writes its thinking behind one.
        self._thinking.is_over = True
        self._events.drop_blank()

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
        if self._pending in PREFIXES and not final:
            return False  # it is a marker once the rest has come
        self._reader = _no_call if self._search.in_code else Bare(self._offered, 0).read
        return True

    def _begin_fence(self, final: bool) -> bool:
        line, ended, _ = self._pending.partition("\n")
        if not ended and not final and len(line) < _MAX_FENCE_CHARS:
            return False
        self._search.begin_fence(line[:_MAX_FENCE_CHARS])
        self._reader = Fenced(self._offered, 0).read
        if self._search.quoting or not self._search.in_code:
            self._reader = _no_call
        return True

    def _open_thinking(self, tag: str) -> None:
        if not self._silent and not self._thinking.closing:
            self._events.release()  # it stands before this thinking
        self._thinking.open(tag, at_start=self._silent)
        self._emit(len(tag))

    def _close_thinking(self, length: int) -> None:
        """The first ``length`` pending characters end it: no call so far was one."""
        self._reader = None
        self._emit(length)
        self._events.give_back()
        self._thinking.close()
        self._search.thinking_ended()

    def _read_candidate(self, reader: MessageReader, final: bool) -> bool:
        verdict = reader(self._pending, final)
        if isinstance(verdict, FoundHeader) and not (self._search.fresh or self._message):
            verdict = REJECTED
        if verdict is None and len(self._pending) <= MAX_CALL_CHARS:
            return False
        self._reader = None
        if isinstance(verdict, FoundHeader):
            self._open_message(verdict)
            return True
        is_fence = self._pending.startswith(Fenced.OPEN)
        if isinstance(verdict, FoundCall):
            self._search.in_code = self._search.in_code and not is_fence
            self._emit_calls(verdict)
            return True
        self._attempts_left -= final
        hopeless = verdict is None or self._attempts_left <= 0
        # It begins no call; a marker may still stand further on.
        shown = len(Fenced.OPEN) if is_fence else 1
        self._emit(len(self._pending) if hopeless else shown)
        return True

    def _emit_calls(self, found: FoundCall) -> None:
        text, self._pending = self._pending[: found.end], self._pending[found.end :]
        self._events.add_calls(found, text, hold=not self._thinking.is_over)
        self._search.passed_call()
        self._message = None
        self._silent = False

    def _emit(self, length: int) -> None:
        """Pass on the first ``length`` pending characters as text."""
        if length <= 0:
            return
        text, self._pending = self._pending[:length], self._pending[length:]
        self._events.add_text(text)
        self._search.passed(text)
        self._silent = self._silent and not text.strip(BLANK)


def parse_answer(
    text: str, tools: Sequence[Mapping[str, Any]], *, new_id: Callable[[], str] = new_call_id
) -> tuple[str, list[ToolCall]]:
    """Return the text for the user and the calls of a complete answer."""
    parser = ToolCallParser(tools, new_id=new_id)
    events = [*parser.feed(text), *parser.finish()]
    shown = "".join(event.text for event in events if isinstance(event, TextPart))
    return shown, [event for event in events if isinstance(event, ToolCall)]
