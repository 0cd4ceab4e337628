"""The events of one answer, and those of them that are held until they are certain."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from stoker.tokens.tool_calls.call_candidate import BLANK, FoundCall

#: More held text than this is passed on as what it seems to be, so that memory stays bounded.
MAX_HELD_CHARS = 1_000_000


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


class AnswerEvents:
    """The events so far. From the first call on that may have been only thought of, they are held:
    thinking that ends makes text of them again.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._events: list[Event] = []
        #: Where the held events begin, and the text that each was made of.
        self._held_from: int | None = None
        self._held_texts: list[str] = []
        #: Directly behind a call: white space there is no answer if nothing follows it.
        self.after_call = False
        self._blank = ""
        self.calls = 0

    @property
    def has_rest(self) -> bool:
        """Whether some events are not taken yet."""
        return bool(self._events)

    def take(self) -> list[Event]:
        """Return what is certain by now, each event once."""
        if sum(map(len, self._held_texts)) > MAX_HELD_CHARS:
            self.release()
        certain = len(self._events) if self._held_from is None else self._held_from
        taken, self._events = self._events[:certain], self._events[certain:]
        self._held_from = None if self._held_from is None else 0
        return taken

    def add_text(self, text: str) -> None:
        """Text comes next."""
        if self._held_from is not None:
            self._hold_text(text)
        if self.after_call and not text.strip(BLANK):
            self._blank += text
            return
        text = self._blank + text
        self.after_call, self._blank = False, ""
        before = self._events[-1] if self._events else None
        if isinstance(before, TextPart):
            self._events[-1] = TextPart(before.text + text)
        else:
            self._events.append(TextPart(text))

    def add_thought(self, text: str) -> None:
        """Marked reasoning comes next."""
        self._events.append(ThoughtPart(text))
        if self._held_from is not None:
            self._held_texts.append(text)

    def add_calls(self, found: FoundCall, text: str, *, hold: bool) -> None:
        """Calls come next, which ``text`` was read as; ``hold`` them and all that follows."""
        if self._held_from is None and hold:
            self._held_from = len(self._events)
        for call in found.calls:
            self._events.append(ToolCall(self.calls, self._new_id(), call.name, call.arguments))
            self.calls += 1
        if self._held_from is not None:  # several calls can be one text
            self._held_texts += [text, *[""] * (len(found.calls) - 1)]
        self.after_call, self._blank = True, ""

    def drop(self, marker: str) -> None:
        """A marker comes next, which is shown only where the event before it is text again."""
        if self._held_from is not None:
            self._held_texts[-1] += marker

    def drop_blank(self) -> None:
        """The white space behind the last call is no answer."""
        self._blank = ""

    def release(self) -> None:
        """What is held is what it seems to be."""
        self._held_from = None
        self._held_texts = []

    def give_back(self) -> None:
        """What is held was thinking: it is text again."""
        self._give_back(len(self._held_texts))
        self.release()

    def keep_last_calls(self, *, cut: bool) -> None:
        """Of what is held, only the calls that nothing follows are calls; without ``cut``."""
        held = [] if self._held_from is None else self._events[self._held_from :]
        calls = 0
        while not cut and calls < len(held) and isinstance(held[-1 - calls], ToolCall):
            calls += 1
        self._give_back(len(held) - calls)

    def _give_back(self, count: int) -> None:
        """Make text again of the first ``count`` events that are held."""
        if self._held_from is None or not count:
            return
        start, end = self._held_from, self._held_from + count
        fewer = sum(isinstance(event, ToolCall) for event in self._events[start:end])
        self.calls -= fewer
        left = [
            replace(event, index=event.index - fewer) if isinstance(event, ToolCall) else event
            for event in self._events[end:]
        ]
        self._events[start:] = [TextPart("".join(self._held_texts[:count])), *left]

    def _hold_text(self, text: str) -> None:
        """Remember what a held event is made of; blanks after a call belong to the call."""
        is_blank = self.after_call and not text.strip(BLANK)
        if isinstance(self._events[-1], TextPart) or is_blank:
            self._held_texts[-1] += text
        else:
            self._held_texts.append(text)
