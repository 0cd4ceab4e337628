"""Turn tool calls that a model wrote as text into tool calls, in streams and whole answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stoker.tokens.tools import Event, TextPart, ToolCall, ToolCallParser, new_call_id


class TextCalls:
    """A ``Rewrite`` for one answer: calls out of text, and repaired deltas of native calls.

    A server that parses calls itself sends them as such; its deltas get the ``index`` and ``id``
    that some servers leave out. Their arguments are passed on as they come, for clients show them
    while they are written: where they turn out to be no JSON in the end, the client has them by
    then, and nothing can be taken back. A server that doesn't parse calls (or whose parser missed
    the format that its model prints) sends them as text; they are found there.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._tools = tools
        self._choices: dict[int, _Choice] = {}
        self._last: dict[str, Any] = {}
        #: Calls found in text, for the metrics.
        self.found = 0

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
                out += self._deltas(index, state, state.parser.finish())
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
        if message.get("tool_calls"):
            calls = _with_ids(message["tool_calls"])
            return {**choice, "message": {**message, "tool_calls": calls}}
        text = message.get("content")
        if not isinstance(text, str) or not text:
            return choice
        parser = ToolCallParser(self._tools)
        events = [*parser.feed(text), *parser.finish()]
        calls = [event for event in events if isinstance(event, ToolCall)]
        if not calls:
            return choice
        self.found += len(calls)
        said = "".join(event.text for event in events if isinstance(event, TextPart)).strip()
        message = {**message, "content": said or None, "tool_calls": [_call(c) for c in calls]}
        return {**choice, "message": message, "finish_reason": "tool_calls"}

    def _choice_events(self, event: dict[str, Any], choice: dict[str, Any]) -> list[dict[str, Any]]:
        given = choice.get("index")
        index = given if isinstance(given, int) else 0
        state = self._choices.setdefault(index, _Choice(ToolCallParser(self._tools)))
        delta = choice.get("delta")
        delta = dict(delta) if isinstance(delta, dict) else {}
        found: list[Event] = []
        text = delta.pop("content", None)
        if isinstance(text, str) and text:
            found = state.parser.feed(text)
        if delta.get("tool_calls"):
            found += state.parser.finish()
            delta["tool_calls"] = state.repaired(delta["tool_calls"])
        finish = choice.get("finish_reason")
        if finish:
            found += state.parser.finish()
            state.finished = True
        out = self._deltas(index, state, found)
        if finish == "stop" and state.called:
            finish = "tool_calls"
        if delta or finish:
            last = {**choice, "delta": delta, "finish_reason": finish}
            # A role or reasoning comes before the text; a finish reason comes after it.
            out.insert(len(out) if finish else 0, {**event, "choices": [last]})
        return out

    def _deltas(self, index: int, state: _Choice, found: Sequence[Event]) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = []
        for item in found:
            if isinstance(item, ToolCall):
                self.found += 1
                state.called = True
                deltas.append({"tool_calls": [{"index": state.next_index(), **_call(item)}]})
            elif item.text:
                deltas.append({"content": item.text})
        return [self._event_of(index, delta) for delta in deltas]

    def _event_of(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in self._last.items() if k not in {"choices", "usage"}}
        return {**kept, "choices": [{"index": index, "delta": delta, "finish_reason": None}]}


class _Choice:
    """What is known of one of the answers that a request with ``n`` above 1 gets."""

    def __init__(self, parser: ToolCallParser) -> None:
        self.parser = parser
        self.called = False
        self.finished = False
        #: Calls sent so far, found in text or native: both are numbered as one.
        self._calls = 0
        #: By the server's number of a native call: the client's number, and an id if it lacks one.
        self._native: dict[int, tuple[int, str]] = {}

    def next_index(self) -> int:
        """The number of a call that begins now."""
        self._calls += 1
        return self._calls - 1

    def repaired(self, calls: Any) -> Any:
        """Deltas of native calls, each with an index, and an id where a call begins."""
        if not isinstance(calls, list):
            return calls
        return [self._repair(call) if isinstance(call, dict) else call for call in calls]

    def _repair(self, call: dict[str, Any]) -> dict[str, Any]:
        function = call.get("function")
        begins = isinstance(function, dict) and bool(function.get("name"))
        given = call.get("index")
        if not isinstance(given, int):
            last = max(self._native, default=-1)
            given = last + 1 if begins or last < 0 else last
        if given not in self._native:
            self._native[given] = (self.next_index(), new_call_id())
        index, own_id = self._native[given]
        repaired = {**call, "index": index}
        if begins and not call.get("id"):
            repaired["id"] = own_id
            repaired.setdefault("type", "function")
        return repaired


def _with_ids(calls: Any) -> Any:
    """The calls of a whole answer, each with an id."""
    if not isinstance(calls, list):
        return calls
    return [
        {"type": "function", **call, "id": new_call_id()}
        if isinstance(call, dict) and not call.get("id")
        else call
        for call in calls
    ]


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}
