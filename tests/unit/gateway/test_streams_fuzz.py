"""However a stream is cut on its way, what goes to the client is the same."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.gateway.backends import DONE, event, usage

from stoker.gateway.api import request_validation
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.relay.tool_call_rewriter import TextCalls

HEADERS = {b"content-type": b"text/event-stream"}
TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {}}}]
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["größe 🎉", "[DONE]", '"prompt_tokens"', "<tool_call>", '{"name": "read_file", ', "```json\n"]
)
CALL = '<tool_call>{"name": "read_file", "arguments": {"path": "a"}}</tool_call>'


def native(arguments: str) -> bytes:
    """A piece of a call that the server itself tells."""
    call = {"index": 0, "id": "x", "function": {"name": "read_file", "arguments": arguments}}
    return event(choices=[{"index": 0, "delta": {"tool_calls": [call]}}])


EVENTS = st.one_of(
    TEXTS.map(event),
    st.just(usage()),
    st.just(event(CALL)),
    st.sampled_from(["", '{"path"', ': "a"}', "{}"]).map(native),
    st.just(b": ping\n\n"),
    st.just(b"data: {oops\n\n"),
    st.just(b"event: x\ndata: {}\n\n"),
    st.binary(max_size=8).map(lambda data: b"data: " + data.replace(b"\r", b"") + b"\n\n"),
)
ENDS = st.sampled_from(
    [DONE, b"data:[DONE]\n\n", b"data: [DONE]", b"", b"data: {", DONE + event("x")]
)
STREAMS = st.tuples(st.lists(EVENTS, max_size=8).map(b"".join), ENDS).map(b"".join)
CUTS = st.lists(st.integers(0, 600), max_size=12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(ends)]


async def relayed(pieces: Sequence[bytes], *, parsed: bool, wants_usage: bool) -> list[bytes]:
    """The lines that the client gets. Fails where an empty chunk would end the transfer."""
    calls = TextCalls(TOOLS) if parsed else None
    answer = ResponseStream(None, streamed=True, wants_usage=wants_usage, rewrite=calls)
    answer.head(200, HEADERS)
    for piece in pieces:
        answer.body(piece)
    answer.done()
    assert answer.ended.done()
    assert all(answer.writer.pending)
    return [line for line in answer.writer.take_pending().split(b"\n") if line]


def without_call_ids(lines: Sequence[bytes]) -> list[bytes]:
    """Calls get random ids."""
    return [line for line in lines if b'"tool_calls"' not in line]


@example(event("a") + b"data: [DONE]\nUUU\n", [], True, False)  # both found by atheris
@example(event("a")[:-1] + b"UUU\n", [len(event("a")) - 1], True, False)
@given(STREAMS, CUTS, st.booleans(), st.booleans())
def test_any_cut_of_a_stream_gives_the_same_events(
    stream: bytes, cuts: list[int], wants_usage: bool, crlf: bool
) -> None:
    sent = stream.replace(b"\n", b"\r\n") if crlf else stream

    async def both() -> tuple[list[bytes], list[bytes]]:
        whole = await relayed([stream], parsed=False, wants_usage=wants_usage)
        cut = await relayed(pieces_of(sent, cuts), parsed=False, wants_usage=wants_usage)
        return whole, cut

    whole, cut = asyncio.run(both())
    assert cut == whole
    assert cut[-1] == DONE.strip()
    assert cut.count(DONE.strip()) == 1
    b"\n".join(cut).decode()  # is UTF-8 whatever was sent


@given(STREAMS, CUTS)
def test_calls_are_found_however_a_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    async def both() -> tuple[list[bytes], list[bytes]]:
        whole = await relayed([stream], parsed=True, wants_usage=True)
        return whole, await relayed(pieces_of(stream, cuts), parsed=True, wants_usage=True)

    whole, cut = asyncio.run(both())
    assert without_call_ids(cut) == without_call_ids(whole)
    assert len(cut) == len(whole)


@example(f"{CALL}said ", [len(CALL) + 4])
@given(st.lists(TEXTS | st.just(CALL), max_size=6).map("".join), CUTS)
def test_text_cut_into_deltas_stays_the_same(text: str, cuts: list[int]) -> None:
    def reply(pieces: Sequence[str]) -> tuple[str, int]:
        calls = TextCalls(TOOLS)
        out = [e for piece in pieces for e in calls.event(orjson.loads(event(piece)[6:]))]
        out += calls.end()
        deltas = [choice["delta"] for e in out for choice in e["choices"]]
        return "".join(delta.get("content") or "" for delta in deltas), calls.found

    ends = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    assert reply([text[a:b] for a, b in pairwise(ends)]) == reply([text])


@given(st.lists(JSON, max_size=3))
def test_event_of_any_json_never_breaks_the_stream(values: list[Any]) -> None:
    shapes: list[Any] = [*values]
    for value in values:
        shapes += [{"choices": value}, {"choices": [value]}, {"choices": [{"delta": value}]}]
        shapes += [{"choices": [{"index": value, "delta": {"content": "x"}}]}, {"usage": value}]
        shapes += [{"choices": [{"index": 0, "delta": {"tool_calls": value}}]}]
        shapes += [{"choices": [{"index": 0, "delta": {"tool_calls": [{"function": value}]}}]}]
    lines = [
        b"data: " + orjson.dumps(s, option=orjson.OPT_NON_STR_KEYS) + b"\n\n"
        for s in shapes
        if not _too_large(s)
    ]
    reply = asyncio.run(relayed(lines, parsed=True, wants_usage=True))
    assert reply[-1] == DONE.strip()


@given(JSON, st.booleans(), st.booleans(), st.sampled_from([b"", b"data: "]))
def test_an_answer_of_any_json_is_converted_or_refused(
    value: Any, streamed: bool, parsed: bool, prefix: bytes
) -> None:
    call = {"function": value, "index": value, "id": value}
    shapes = [
        {"choices": value},
        {"choices": [value, {"message": value, "delta": value, "text": value, "index": value}]},
        {"choices": [{"message": {"content": value, "tool_calls": value}}], "usage": value},
        {"choices": [{"message": {"content": [value], "function_call": value}}]},
        {"choices": [{"delta": {"content": [{"text": value, "thinking": value}]}}]},
        {"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": value, "logprobs": value}]},
        {"choices": [{"message": {"tool_calls": call}, "finish_reason": value}]},
        {"error": value},
    ]

    async def converted(body: bytes) -> None:
        calls = TextCalls(TOOLS) if parsed else None
        answer = ResponseStream(None, streamed=streamed, rewrite=calls)
        answer.head(200, {})
        answer.body(body)
        answer.done()
        assert answer.ended.done()
        if not answer.streaming:
            with contextlib.suppress(ValueError):
                answer.collected.in_normal_form()

    for shape in shapes:
        if not _too_large(shape):
            data = orjson.dumps(shape, option=orjson.OPT_NON_STR_KEYS)
            asyncio.run(converted(prefix + data + b"\n\ndata: [DONE]\n\n" if prefix else data))


def _too_large(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:  # an integer over 64 bits
        return True
    return False


@given(st.binary(max_size=200))
def test_any_body_is_an_object_or_a_bad_request(body: bytes) -> None:
    try:
        assert isinstance(request_validation.parse(body), dict)
    except BadRequestError as refused:
        assert refused.status == 400


FIELDS = ["messages", "tools", "max_tokens", "stream", "stream_options", "model", "prompt"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_request_is_checked_or_refused(request: dict[str, Any]) -> None:
    for check in (
        request_validation.check_chat,
        request_validation.check_common,
        request_validation.texts,
    ):
        try:
            check(request)
        except BadRequestError as refused:
            assert refused.param


@pytest.mark.parametrize("depth", [1, 250, 255, 1000, 5000])
def test_what_is_read_can_be_sent(depth: int) -> None:
    try:
        orjson.dumps(request_validation.parse(b'{"a":' * depth + b"1" + b"}" * depth))
    except BadRequestError:
        assert depth > 250
