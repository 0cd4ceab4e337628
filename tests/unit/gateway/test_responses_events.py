"""Every stream of ``/v1/responses`` is a valid sequence of events, as a small state machine reads.

The order and the fields are those of the Open Responses specification, https://www.openresponses.org,
but for the names of the events of thinking, which are OpenAI's: ``response.reasoning_text.delta``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.gateway.client_apis.client_api import Asked
from stoker.gateway.client_apis.responses.responses_api import ResponsesApi

Body = dict[str, Any]

TOOLS = [
    {"type": "function", "name": "read", "parameters": {"type": "object"}},
    {"type": "custom", "name": "apply_patch"},
    {"type": "local_shell"},
]
#: The events of an item's text, by its type, and the field that has all of it in the end.
TEXTS = {
    "message": ("response.output_text", "text"),
    "reasoning": ("response.reasoning_text", "text"),
    "function_call": ("response.function_call_arguments", "arguments"),
    "custom_tool_call": ("response.custom_tool_call_input", "input"),
}


def text_of(item: Body, kind: str) -> str:
    """The whole text of an item that is done."""
    if kind in ("message", "reasoning"):
        (part,) = item["content"]
        return str(part["text"])
    return str(item[TEXTS[kind][1]])


class Events:
    """Reads a stream from its beginning to its end; whatever is out of order fails."""

    def __init__(self, events: list[Body]) -> None:
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        self._rest: Iterator[Body] = iter(events)
        self._next: Body | None = next(self._rest)
        self.done: list[Body] = []

    def take(self, kind: str, **fields: Any) -> Body:
        event = self._next
        assert event is not None, f"no {kind}"
        assert event["type"] == kind
        assert {name: event[name] for name in fields} == fields
        self._next = next(self._rest, None)
        return event

    def comes(self, kind: str) -> bool:
        return self._next is not None and self._next["type"] == kind

    def read(self) -> Body:
        """The response at the end."""
        begun = self.take("response.created")["response"]
        assert self.take("response.in_progress")["response"] == begun
        assert (begun["status"], begun["output"]) == ("in_progress", [])
        open_item = None
        while self.comes("response.output_item.added") and open_item is None:
            open_item = self._item()
        assert self._next is not None
        status = self._next["type"].removeprefix("response.")
        response: Body = self.take(f"response.{status}")["response"]
        assert self._next is None
        assert status in ("completed", "incomplete", "failed")
        assert response["status"] == status
        assert (response["error"] is not None) == (status == "failed")
        assert (response["incomplete_details"] is not None) == (status == "incomplete")
        assert response["id"] == begun["id"]
        assert begun.keys() == response.keys()
        rest = [] if open_item is None else [open_item]
        assert [bare(each) for each in response["output"]] == [*map(bare, self.done), *rest]
        assert open_item is None or status == "failed"
        return response

    def _item(self) -> Body | None:
        """Read one item; what there is of it where the answer broke off in it."""
        place = {"output_index": len(self.done)}
        item = self.take("response.output_item.added", **place)["item"]
        kind = item["type"]
        assert item["status"] == "in_progress"
        text = ""
        if kind in TEXTS:
            at = {"item_id": item["id"], **place}
            at |= {"content_index": 0} if kind in ("message", "reasoning") else {}
            if kind == "message":
                assert item["content"] == []
                assert self.take("response.content_part.added", **at)["part"]["text"] == ""
            events, field = TEXTS[kind]
            while self.comes(f"{events}.delta"):
                text += self.take(f"{events}.delta", **at)["delta"]
            if self.comes("response.failed"):
                return {"id": item["id"], "type": kind, "text": text}
            self.take(f"{events}.done", **at, **{field: text})
            if kind == "message":
                assert self.take("response.content_part.done", **at)["part"]["text"] == text
        ended = self.take("response.output_item.done", **place)["item"]
        assert (ended["id"], ended["type"]) == (item["id"], kind)
        assert ended["status"] in ("completed", "incomplete")
        assert kind not in TEXTS or text_of(ended, kind) == text
        self.done.append(ended)
        return None


def bare(item: Body) -> Body:
    """An item without what only one that is done has."""
    kind = item["type"]
    text = text_of(item, kind) if kind in TEXTS else ""
    return {"id": item["id"], "type": kind, "text": text}


def streamed(chunks: list[Body], failure: str | None = None) -> list[Body]:
    stream = ResponsesApi().stream(Asked({"input": "hi", "tools": TOOLS}, "m"))
    sent = b"".join(map(stream.event, chunks))
    sent += stream.error("it broke", failure) if failure else stream.end()
    blocks = sent.decode().removesuffix("\n\n").split("\n\n")
    return [orjson.loads(block.split("\n")[1].removeprefix("data: ")) for block in blocks]


def chunk(finish: str | None = None, **delta: Any) -> Body:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call(name: str, arguments: str) -> Body:
    function = {"name": name, "arguments": arguments}
    return {"index": 0, "id": "c", "type": "function", "function": function}


_WORDS = st.text(max_size=5)
_CALLS = st.builds(
    call,
    st.sampled_from(["read", "apply_patch", "local_shell", "unknown"]),
    st.sampled_from(["{}", '{"input": "a\\nb"}', '{"command": ["ls"]}', ""]),
)
_CHUNKS = st.one_of(
    st.builds(lambda text: chunk(content=text), _WORDS),
    st.builds(lambda text: chunk(reasoning_content=text), _WORDS),
    st.builds(lambda a, b: chunk(content=a, reasoning=b), _WORDS, _WORDS),
    st.builds(lambda calls: chunk(tool_calls=calls), st.lists(_CALLS, max_size=2)),
    st.sampled_from([chunk(), chunk(role="assistant"), {}, {"choices": []}]),
    st.sampled_from([chunk("stop"), chunk("length"), chunk("content_filter"), chunk("tool_calls")]),
    st.just({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
)
_FAILURES = st.sampled_from([None, None, "context_length_exceeded", "server_error"])


@settings(max_examples=40)
@given(st.lists(_CHUNKS, max_size=12), _FAILURES)
def test_every_stream_is_a_valid_sequence(chunks: list[Body], failure: str | None) -> None:
    response = Events(streamed(chunks, failure)).read()
    sent = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c.get("choices"))
    messages = [item for item in response["output"] if item["type"] == "message"]
    assert "".join(text_of(item, "message") for item in messages) == sent


@pytest.mark.parametrize(
    "broken",
    [
        lambda events: events[1:],
        lambda events: events[:-1],
        lambda events: [*events, events[-1]],
        lambda events: [*events[:3], *events[4:]],
        lambda events: [*events[:5], events[4], *events[5:]],
    ],
)
def test_the_machine_refuses_what_is_out_of_order(broken: Any) -> None:
    events = broken(streamed([chunk(content="a"), chunk("stop")]))
    numbered = [{**event, "sequence_number": at} for at, event in enumerate(events)]
    with pytest.raises((AssertionError, StopIteration)):
        Events(numbered).read()
