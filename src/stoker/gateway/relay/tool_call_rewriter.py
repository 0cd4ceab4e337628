"""Tool calls in one form, in streams and whole answers: sent as calls, or written as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from stoker.gateway.relay import normal_message
from stoker.gateway.relay.native_calls import NativeCall, NativeCalls
from stoker.tokens.tool_calls import Event, ThoughtPart, ToolCall, ToolCallParser, new_call_id

#: Finish reasons with which a model ended its answer by itself. With every other one the last
#: call may have broken off.
_OWN_END = frozenset({"stop", "tool_calls"})

#: A piece of what goes to the client: text, reasoning that stood in the text, or a call in
#: OpenAI's form without its index.
_Piece = str | ThoughtPart | dict[str, Any]


class TextCalls:
    """A ``Rewrite`` for one answer: whole calls with numbers and ids, from whatever source.

    A server that parses calls itself sends them as calls. One that doesn't, or whose parser missed
    the format that its model prints, sends them as text, and they are found there. A call that
    broke off is never passed on as a call: its text is, with a sentence that it was not run.

    A call keeps the id that its server gave it, unless another call of the answer or of the
    conversation has it (``taken_ids``): some servers count from 0 in every answer.

    ``reasons``: the model is known to think before it answers. An answer that the token limit cut
    before its thinking was closed then has no calls, although nothing in it shows a thought.
    """

    def __init__(
        self,
        tools: Sequence[Mapping[str, Any]],
        *,
        taken_ids: Callable[[], set[str]] = set,
        reasons: bool = False,
    ) -> None:
        self._tools = tools
        self._reasons = reasons
        self._ids = _CallIds(taken_ids)
        self._choices: dict[int, _Choice] = {}
        self._last: dict[str, Any] = {}

    @property
    def found(self) -> int:
        """Calls found in text, for the metrics."""
        return sum(choice.found for choice in self._choices.values())

    @property
    def closed_thinking(self) -> bool:
        """Whether the text held thinking, so that the model is one that reasons."""
        return any(choice.closed_thinking for choice in self._choices.values())

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

    def end(self, *, complete: bool = False) -> list[dict[str, Any]]:
        """What was held back when the stream ended without a finish reason.

        ``complete``: the server ended it itself, so the finish reason is added.
        """
        out = []
        for index, state in self._choices.items():
            if state.finished is None:
                pieces, finish = state.finish("stop" if complete else None)
                out += self._deltas(index, state, pieces)
                if complete:
                    out.append(self._event_of(index, {}, finish))
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
        state = self._state(len(self._choices))
        message = normal_message.normal(message)
        calls = message.pop("tool_calls", None)
        text = message.get("content")
        state.think(message)
        pieces = state.read(text) if isinstance(text, str) else []
        state.native.take(calls)
        given = normal_message.finish_reason(choice.get("finish_reason"))
        rest, finish = state.finish(given or "stop")  # it is complete, whatever it leaves out
        pieces += rest
        written = "".join(piece for piece in pieces if isinstance(piece, str))
        made = [piece for piece in pieces if isinstance(piece, dict)]
        message = _with_thoughts(message, pieces)
        if made:
            message.update(content=written.strip() or None, tool_calls=made)
        elif written or text:
            message["content"] = written
        return {**choice, "message": message, "finish_reason": finish}

    def _choice_events(self, event: dict[str, Any], choice: dict[str, Any]) -> list[dict[str, Any]]:
        given = choice.get("index")
        index = given if isinstance(given, int) else 0
        state = self._state(index)
        delta = normal_message.normal(_delta_of(choice))
        state.think(delta)
        text = delta.pop("content", None)
        pieces = state.read(text) if isinstance(text, str) else []
        pieces += state.call(delta.pop("tool_calls", None))
        finish = normal_message.finish_reason(choice.get("finish_reason"))
        if state.finished and state.has_rest:
            finish = state.finished  # it went on behind its end
        if finish:
            rest, finish = state.finish(finish)
            pieces += rest
        out = self._deltas(index, state, pieces)
        if out and choice.get("logprobs"):  # they belong to the text
            out[0]["choices"][0]["logprobs"] = choice["logprobs"]
            choice = {**choice, "logprobs": None}
        if delta or finish or choice.get("logprobs"):
            last = {**choice, "delta": delta, "finish_reason": finish}
            last.pop("message", None)
            # A role or reasoning comes before the text; a finish reason comes after it.
            out.insert(len(out) if finish else 0, {**event, "choices": [last]})
        return out

    def _state(self, index: int) -> _Choice:
        if index not in self._choices:
            self._choices[index] = _Choice(self._tools, self._ids, self._reasons)
        return self._choices[index]

    def _deltas(self, index: int, state: _Choice, pieces: Sequence[_Piece]) -> list[dict[str, Any]]:
        return [self._event_of(index, _delta(piece, state)) for piece in pieces]

    def _event_of(
        self, index: int, delta: dict[str, Any], finish: str | None = None
    ) -> dict[str, Any]:
        kept = {k: v for k, v in self._last.items() if k not in {"choices", "usage"}}
        return {**kept, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


class _Choice:
    """What is known of one of the answers that a request with ``n`` above 1 gets."""

    def __init__(self, tools: Sequence[Mapping[str, Any]], ids: _CallIds, reasons: bool) -> None:
        self._tools = tools
        self._reasons = reasons
        self._ids = ids
        self._parser = ToolCallParser(tools)
        self.native = NativeCalls(tools)
        #: The finish reason that was sent.
        self.finished: str | None = None
        #: Calls found in text.
        self.found = 0
        self._called = False
        self._said = False
        self._thought: list[str] = []
        self._numbers = 0
        #: What was called in text, until a native call repeats it.
        self._in_text: list[tuple[str, Any]] = []

    @property
    def has_rest(self) -> bool:
        """Whether something is held that only the end lets go."""
        return self.native.has_open or self._parser.has_rest

    @property
    def closed_thinking(self) -> bool:
        """Whether a tag closed thinking in the text."""
        return self._parser.thoughts > 0

    def number(self) -> int:
        """The number of the next call that is sent: found in text or native, they are one row."""
        self._numbers += 1
        return self._numbers - 1

    def think(self, part: Mapping[str, Any]) -> None:
        """Remember the reasoning of a delta or a message, which is passed on as it is."""
        found = (part.get(name) for name in normal_message.REASONING)
        thought = next((text for text in found if text and isinstance(text, str)), None)
        if thought:
            self._thought.append(thought)
            self._parser.end_thinking()

    def read(self, text: str) -> list[_Piece]:
        """Take a piece of the answer's text."""
        if not self._tools:
            return [text] if text else []  # there is no call to look for
        closed = self._parser.thoughts
        pieces = self._pieces(self._parser.feed(text))
        if self._parser.thoughts == closed:
            return pieces
        # A server without a reasoning parser made calls of what the model only thought of.
        return [*(call.as_text() for call in self.native.take_back()), *pieces]

    def call(self, calls: object) -> list[_Piece]:
        """Take pieces of native calls: what was held back of the text comes before them."""
        if not calls:
            return []
        self.native.feed(calls)
        if self._parser.may_be_thinking:
            return []
        return [*self._pieces(self._parser.finish()), *self._sent(self.native.whole())]

    def finish(self, reason: str | None) -> tuple[list[_Piece], str | None]:
        """What is still to be sent, and the finish reason. ``None`` where the answer has none."""
        cut = reason not in _OWN_END
        called = self._called or self.native.has_open
        broken_off = reason is None or (cut and self._reasons)
        pieces = self._pieces(self._parser.finish(cut=cut or called, broken=broken_off))
        if cut and self._parser.unfinished_call:
            pieces.append(_not_run(self._parser.unfinished_call, reason))
        whole, broken = self.native.finish(cut=cut)
        pieces += self._sent(whole)
        pieces += [_as_text(call, reason) for call in broken]
        if not cut and not broken:
            pieces += self._late_calls()
        self.finished = _agreeing(reason, self._called, any(call.is_cut for call in broken))
        return pieces, self.finished

    def _late_calls(self) -> list[_Piece]:
        """Calls at the end of reasoning that nothing follows: the model forgot to close it."""
        if self._called or self._said or not self._thought:
            return []
        thought = ToolCallParser(self._tools, thinking=True)
        events = [*thought.feed("".join(self._thought)), *thought.finish()]
        return self._pieces([event for event in events if isinstance(event, ToolCall)])

    def _pieces(self, events: Sequence[Event]) -> list[_Piece]:
        pieces: list[_Piece] = []
        for item in events:
            if isinstance(item, ToolCall):
                self.found += 1
                self._called = True
                function = {"name": item.name, "arguments": item.arguments}
                self._in_text.append((item.name, orjson.loads(item.arguments)))
                pieces.append({"id": item.id, "type": "function", "function": function})
            elif isinstance(item, ThoughtPart):
                self._thought.append(item.text)
                pieces.append(item)
            elif item.text:
                self._said = self._said or bool(item.text.strip())
                pieces.append(item.text)
        return pieces

    def _sent(self, calls: Sequence[NativeCall]) -> list[_Piece]:
        self._called = self._called or bool(calls)
        new = [call for call in calls if not self._repeats_text(call)]
        return [call.as_sent(self._ids.of(call)) for call in new]

    def _repeats_text(self, call: NativeCall) -> bool:
        """Whether the server left this call in the text as well, where it was found."""
        same = (call.name, call.last_value)
        if same in self._in_text:
            self._in_text.remove(same)
            return True
        return False


class _CallIds:
    """The ids of an answer's calls. Those of the conversation are found when the first one comes.

    No call is the commonest answer, and a conversation may have a thousand.
    """

    def __init__(self, taken: Callable[[], set[str]]) -> None:
        self._of_conversation = taken
        self._taken: set[str] | None = None

    def of(self, call: NativeCall) -> str:
        """The call's own id, or a new one where another call has it."""
        taken = self._taken = self._of_conversation() if self._taken is None else self._taken
        own_id = call.id if call.id and call.id not in taken else new_call_id()
        taken.add(own_id)
        return own_id


def _delta_of(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """The delta of a streamed choice; some servers name it as in a whole answer."""
    parts = (choice.get(name) for name in ("delta", "message"))
    return next((part for part in parts if isinstance(part, dict)), {})


def _agreeing(reason: str | None, called: bool, is_cut: bool) -> str | None:
    """The finish reason that agrees with what was sent."""
    if reason not in _OWN_END:
        return reason
    if is_cut:
        return "length"
    return "tool_calls" if called else "stop"


def _delta(piece: _Piece, state: _Choice) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"content": piece}
    if isinstance(piece, ThoughtPart):
        return {normal_message.REASONING[0]: piece.text}
    return {"tool_calls": [{"index": state.number(), **piece}]}


def _with_thoughts(message: dict[str, Any], pieces: Sequence[_Piece]) -> dict[str, Any]:
    """A message with the reasoning that stood in its text where clients look for it."""
    thought = "".join(piece.text for piece in pieces if isinstance(piece, ThoughtPart))
    given = message.get(normal_message.REASONING[0])
    return {**message, normal_message.REASONING[0]: (given or "") + thought} if thought else message


def _as_text(call: NativeCall, reason: str | None) -> str:
    """What there is of a call that can't be run, in a form that nothing reads as a call."""
    written = "" if call.value == {} else f"{call.name}({call.arguments}"
    if reason in _OWN_END and not call.is_cut:
        why = f"The call of {call.name} was not run: its arguments are not a JSON object."
        return f"{written}\n\n{why}" if call.name else call.arguments
    return written + _not_run(call.name, reason)


def _not_run(name: str, reason: str | None) -> str:
    """The sentence that reports a lost call to people, and to the model in its next turn."""
    where = "at the token limit " if reason == "length" else ""
    return f"\n\nThe call of {name or 'a tool'} was cut off {where}and was not run."
