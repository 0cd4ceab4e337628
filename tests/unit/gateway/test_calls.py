"""Calls reach the client numbered and named, whether the server or the text has them."""

from __future__ import annotations

from typing import Any

from stoker.gateway.calls import TextCalls

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
IN_TEXT = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'


def native(**fields: Any) -> dict[str, Any]:
    return {"function": {"name": "f", "arguments": "{}"}, **fields}


def whole(*calls: Any) -> list[Any]:
    message = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    answer = TextCalls(TOOLS).whole({"choices": [{"index": 0, "message": message}]})
    found: list[Any] = answer["choices"][0]["message"]["tool_calls"]
    return found


def streamed(*deltas: dict[str, Any]) -> list[Any]:
    calls = TextCalls(TOOLS)
    events = [
        event
        for delta in deltas
        for event in calls.event({"choices": [{"index": 0, "delta": delta}]})
    ]
    sent = [choice["delta"].get("tool_calls", []) for e in events for choice in e["choices"]]
    return [call for calls in sent for call in calls]


def test_native_calls_of_a_whole_answer_get_ids_that_no_other_answer_has() -> None:
    found = [*whole(native(), native(id="")), *whole(native())]
    assert len({call["id"] for call in found}) == 3
    assert all(call["id"] and call["type"] == "function" for call in found)
    assert whole(native(id="mine"), "odd") == [native(id="mine"), "odd"]


def test_native_calls_of_streams_get_ids_that_no_other_answer_has() -> None:
    first, second = ({"tool_calls": [native()]} for _ in range(2))
    found = [*streamed(first, second), *streamed(first)]
    assert len({call["id"] for call in found}) == 3
    assert [call["index"] for call in found] == [0, 1, 0]


def test_the_pieces_of_a_call_keep_its_number() -> None:
    piece = {"index": 0, "function": {"arguments": "}"}}
    text = {"content": IN_TEXT}
    begin = {"tool_calls": [native(index=0, id="a")]}
    found = streamed(begin, {"tool_calls": [piece]}, text, {"tool_calls": [piece]})
    assert [call["index"] for call in found] == [0, 0, 1, 0]


def test_calls_in_text_and_native_calls_never_share_a_number() -> None:
    text, call = {"content": IN_TEXT}, {"tool_calls": [native(index=0)]}
    assert [found["index"] for found in streamed(text, call)] == [0, 1]
    assert [found["index"] for found in streamed(call, text)] == [0, 1]
