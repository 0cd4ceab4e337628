"""Calls as ``function_call``, for clients that offer ``functions``.

So OpenAI's API answered before November 2023: one call, in ``message.function_call`` or
``delta.function_call``, with the finish reason ``function_call``
(https://platform.openai.com/docs/api-reference/chat/create, where both are deprecated).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.gateway.relay.event_editor import Rewrite

_Value = dict[str, Any]


class LegacyCalls:
    """A ``Rewrite`` on top of another one, whose calls are whole.

    Such a client takes one call of an answer. It joins all that comes streamed as ``function_call``
    to one, so a second call is written as text.
    """

    def __init__(self, calls: Rewrite) -> None:
        self._calls = calls

    def event(self, event: _Value) -> list[_Value]:
        """What goes to the client in place of one event."""
        return [_answer(new) for new in self._calls.event(event)]

    def end(self, *, complete: bool) -> list[_Value]:
        """What is still to be sent when the stream ends."""
        return [_answer(new) for new in self._calls.end(complete=complete)]

    def whole(self, answer: _Value) -> _Value:
        """What goes to the client in place of an answer that was not streamed."""
        return _answer(self._calls.whole(answer))


def _answer(answer: _Value) -> _Value:
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return answer
    return {**answer, "choices": [_choice(c) if isinstance(c, dict) else c for c in choices]}


def _choice(choice: _Value) -> _Value:
    changed = dict(choice)
    for name in ("delta", "message"):
        if isinstance(choice.get(name), dict) and choice[name].get("tool_calls"):
            changed[name] = _message(choice[name])
    if choice.get("finish_reason") == "tool_calls":
        changed["finish_reason"] = "function_call"
    return changed


def _message(message: _Value) -> _Value:
    """A message or a delta with its first call as ``function_call``, and the others as text."""
    said = {name: value for name, value in message.items() if name != "tool_calls"}
    others = []
    for number, call in enumerate(message["tool_calls"]):
        if call.get("index", number) == 0:
            said["function_call"] = call["function"]
        else:
            others.append(_as_text(call["function"]))
    if others:
        said["content"] = (said.get("content") or "") + "".join(others)
    return said


def _as_text(function: Mapping[str, Any]) -> str:
    """A call that is not passed on, for people, and for the model in its next turn."""
    called = f"{function['name']}({function['arguments']})"
    return f"\n\n{called}\n\nThis call was not run: with `functions` an answer has one call."
