"""Tool calls in one form, in streams and whole answers: sent as calls, or written as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stoker.gateway.relay.native_calls import NativeCall, NativeCalls
from stoker.tokens.tool_calls import Event, ThoughtPart, ToolCall, ToolCallParser

#: Finish reasons with which a model ended its answer by itself. With every other one the last
#: call may have broken off.
_OWN_END = frozenset({"stop", "tool_calls", "function_call"})
_REASONING = ("reasoning_content", "reasoning")

#: A piece of what goes to the client: text, reasoning that stood in the text, or a call in
#: OpenAI's form without its index.
_Piece = str | ThoughtPart | dict[str, Any]


class TextCalls:
    """A ``Rewrite`` for one answer: whole calls with numbers and ids, from whatever source.

    A server that parses calls itself sends them as calls. One that doesn't, or whose parser missed
    the format that its model prints, sends them as text, and they are found there. A call that
    broke off is never passed on as a call: its text is, with a sentence that it was not run.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._tools = tools
        self._choices: dict[int, _Choice] = {}
        self._last: dict[str, Any] = {}

    @property
    def found(self) -> int:
        """Calls found in text, for the metrics."""
        return sum(choice.found for choice in self._choices.values())

    def event(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """What goes to the client in place of one event."""
        choices = event.get("choices")
        if not isinstance(choices, list) or not choices:
            return [event]
        self._last = event
        out: list[dict[str, Any]] = []
        for choice in choices:
            if isinstance(choice, dict):
                out += self._choice_events(event, choice)
        return out

    def end(self) -> list[dict[str, Any]]:
        """What was held back when the stream ended without a finish reason."""
        out = []
        for index, state in self._choices.items():
            if not state.finished:
                pieces, _ = state.finish(None)
                out += self._deltas(index, state, pieces)
        return out

    def whole(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer that was not streamed, with its calls as calls."""
        choices = answer.get("choices")
        if not isinstance(choices, list):
            return answer
        return {**answer, "choices": [self._whole_choice(choice) for choice in choices]}

    def _whole_choice(self, choice: Any) -> Any:
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            return choice
        state = self._choices[len(self._choices)] = _Choice(self._tools)
        text, calls = message.get("content"), message.get("tool_calls")
        state.think(message)
        pieces = state.read(text) if isinstance(text, str) else []
        state.native.take(calls)
        given = choice.get("finish_reason")
        rest, finish = state.finish(given or "stop")  # it is complete, whatever it leaves out
        pieces += rest
        written = "".join(piece for piece in pieces if isinstance(piece, str))
        made = [piece for piece in pieces if isinstance(piece, dict)]
        message = _with_thoughts(message, pieces)
        if not calls and not made and written == (text or ""):
            return {**choice, "finish_reason": finish} if given else choice
        content = written.strip() or None if made else written
        kept = {name: value for name, value in message.items() if name != "tool_calls"}
        message = {**kept, "content": content, **({"tool_calls": made} if made else {})}
        return {**choice, "message": message, "finish_reason": finish}

    def _choice_events(self, event: dict[str, Any], choice: dict[str, Any]) -> list[dict[str, Any]]:
        given = choice.get("index")
        index = given if isinstance(given, int) else 0
        state = self._choices.setdefault(index, _Choice(self._tools))
        delta = choice.get("delta")
        delta = dict(delta) if isinstance(delta, dict) else {}
        state.think(delta)
        text = delta.pop("content", None)
        pieces = state.read(text) if isinstance(text, str) else []
        pieces += state.call(delta.pop("tool_calls", None))
        finish = choice.get("finish_reason")
        if finish:
            rest, finish = state.finish(finish)
            pieces += rest
        out = self._deltas(index, state, pieces)
        if delta or finish:
            last = {**choice, "delta": delta, "finish_reason": finish}
            # A role or reasoning comes before the text; a finish reason comes after it.
            out.insert(len(out) if finish else 0, {**event, "choices": [last]})
        return out

    def _deltas(self, index: int, state: _Choice, pieces: Sequence[_Piece]) -> list[dict[str, Any]]:
        return [self._event_of(index, _delta(piece, state)) for piece in pieces]

    def _event_of(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in self._last.items() if k not in {"choices", "usage"}}
        return {**kept, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}


class _Choice:
    """What is known of one of the answers that a request with ``n`` above 1 gets."""

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._tools = tools
        self._parser = ToolCallParser(tools)
        self.native = NativeCalls(tools)
        self.finished = False
        #: Calls found in text.
        self.found = 0
        self._called = False
        self._text: list[str] = []
        self._thought: list[str] = []
        self._numbers = 0

    def number(self) -> int:
        """The number of the next call that is sent: found in text or native, they are one row."""
        self._numbers += 1
        return self._numbers - 1

    def think(self, part: Mapping[str, Any]) -> None:
        """Remember the reasoning of a delta or a message, which is passed on as it is."""
        found = (part.get(name) for name in _REASONING)
        self._thought += [text for text in found if isinstance(text, str)][:1]

    def read(self, text: str) -> list[_Piece]:
        """Take a piece of the answer's text."""
        return self._pieces(self._parser.feed(text))

    def call(self, calls: object) -> list[_Piece]:
        """Take pieces of native calls: what was held back of the text comes before them."""
        if not calls:
            return []
        return [*self._pieces(self._parser.finish()), *self._sent(self.native.feed(calls))]

    def finish(self, reason: str | None) -> tuple[list[_Piece], str | None]:
        """What is still to be sent, and the finish reason. ``None`` where the answer has none."""
        self.finished = True
        cut = reason not in _OWN_END
        pieces = self._pieces(self._parser.finish())
        if cut and self._parser.unfinished_call:
            pieces.append(_not_run(self._parser.unfinished_call, reason))
        whole, broken = self.native.finish(cut=cut)
        pieces += self._sent(whole)
        pieces += [_as_text(call, reason) for call in broken]
        if not cut and not broken:
            pieces += self._late_calls()
        if self._called and reason == "stop":
            reason = "tool_calls"
        elif not self._called and reason == "tool_calls":
            reason = "stop"
        return pieces, reason

    def _late_calls(self) -> list[_Piece]:
        """Calls at the end of reasoning that nothing follows: the model forgot to close it."""
        written = "".join(self._text)
        if self._called or (written.strip() and not self._parser.is_thinking):
            return []
        thought = written.strip().removeprefix("<think>") or "".join(self._thought)
        events = ToolCallParser(self._tools)
        read = [*events.feed(thought), *events.finish()]
        late: list[Event] = []
        while read and isinstance(read[-1], ToolCall):
            late.insert(0, read.pop())
        return self._pieces(late)

    def _pieces(self, events: Sequence[Event]) -> list[_Piece]:
        pieces: list[_Piece] = []
        for item in events:
            if isinstance(item, ToolCall):
                self.found += 1
                self._called = True
                function = {"name": item.name, "arguments": item.arguments}
                pieces.append({"id": item.id, "type": "function", "function": function})
            elif isinstance(item, ThoughtPart):
                self._thought.append(item.text)
                pieces.append(item)
            elif item.text:
                self._text.append(item.text)
                pieces.append(item.text)
        return pieces

    def _sent(self, calls: Sequence[NativeCall]) -> list[_Piece]:
        self._called = self._called or bool(calls)
        return [call.as_sent() for call in calls]


def _delta(piece: _Piece, state: _Choice) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"content": piece}
    if isinstance(piece, ThoughtPart):
        return {_REASONING[0]: piece.text}
    return {"tool_calls": [{"index": state.number(), **piece}]}


def _with_thoughts(message: dict[str, Any], pieces: Sequence[_Piece]) -> dict[str, Any]:
    """A message with the reasoning that stood in its text where clients look for it."""
    thought = "".join(piece.text for piece in pieces if isinstance(piece, ThoughtPart))
    given = message.get(_REASONING[0])
    return {**message, _REASONING[0]: (given or "") + thought} if thought else message


def _as_text(call: NativeCall, reason: str | None) -> str:
    """What there is of a call that can't be run, in a form that nothing reads as a call."""
    written = "" if call.value == {} else f"{call.name}({call.arguments}"
    if reason in _OWN_END:
        why = f"The call of {call.name} was not run: its arguments are not a JSON object."
        return f"{written}\n\n{why}" if call.name else call.arguments
    return written + _not_run(call.name, reason)


def _not_run(name: str, reason: str | None) -> str:
    """The sentence that reports a lost call to people, and to the model in its next turn."""
    where = "at the token limit " if reason == "length" else ""
    return f"\n\nThe call of {name or 'a tool'} was cut off {where}and was not run."
