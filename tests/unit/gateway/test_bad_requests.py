"""Whatever a client sends or does: an answer in OpenAI's format, a metric, and flat memory."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
from typing import Any

import orjson
import pytest
from aiohttp import web
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    answer,
    chat_bytes,
    chunk,
    event,
    gateway_with,
    running,
    wait_for,
)
from tests.unit.gateway.backends import front as front_of
from tests.unit.gateway.test_backend_faults import fine, hangs

from stoker.access.api_keys import hash_of, keys_of
from stoker.engines import Backend, ServedModel
from stoker.errors import Problem
from stoker.gateway import Gateway, GatewayTimings, Served
from stoker.gateway.api import request_validation
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext

MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields: Any) -> bytes:
    return orjson.dumps({"model": MODEL, "messages": MESSAGES, **fields})


MALFORMED = {
    "nothing": b"",
    "half": b'{"messages": [',
    "a list": b"[]",
    "a text": b'"hello"',
    "null": b"null",
    "NaN": b'{"messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    "infinity": b'{"messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
    "not UTF-8": b'{"messages": [{"role": "user", "content": "\xff"}]}',
    "nested too deeply to read": b'{"messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "nested too deeply to send": b'{"messages": [{"role": "user", "content": "x"}], "a": '
    + b"[" * 600
    + b"]" * 600
    + b"}",
    "trailing": b"{} {}",
}

WRONG_TYPES: dict[str, list[Any]] = {
    "messages": [None, 5, "hi", {}, [], [5], [{}], [{"role": 5}], [{"role": "user", "content": 5}]],
    "tools": [5, {}, [5], [{"function": {}}], [{"function": {"name": 5}}]],
    "max_tokens": ["5", 1.5, True, []],
    "max_completion_tokens": ["5"],
    "stream": ["yes", 1],
    "stream_options": [5, "x", []],
}
WRONG_TYPES["messages"] += [
    [{"role": "user", "content": [{"type": [], "text": "hi"}]}],
    [{"role": "user", "content": [{"type": {}, "text": "hi"}]}],
]


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_json_is_400(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stoker")
    async with gateway_with(fine) as (front, (backend,)):
        reply = await front.post(body)
        assert reply.status == 400
        assert reply.error["code"] == "invalid_json"
        assert not backend.calls
        assert 'stoker_requests_refused_total{code="invalid_json"} 1.0' in await front.metrics()
    assert "refused /v1/chat/completions: 400 invalid_json" in caplog.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/fit", "/tokenize"])
async def test_wrong_types_are_400_and_name_the_field(path: str) -> None:
    async with gateway_with(fine) as (front, _):
        for name, values in WRONG_TYPES.items():
            if name in ("messages", "tools") and path == "/v1/completions":
                continue
            for value in values:
                reply = await front.post(chat(**{name: value}), path)
                assert reply.status == 400, (name, value)
                assert reply.error["param"].startswith(name), (name, value)


async def test_no_odd_field_is_the_gateways_undoing() -> None:
    odd: list[Any] = [None, 5, -1, 1.5, True, "x", [], [[]], {}, {"a": {}}, [None]]
    names = ["model", "stop", "n", "tool_choice", "response_format", "user", "prompt", "functions"]
    names += ["temperature", "logit_bias", "messages", "tools", "stream_options", "input"]
    async with gateway_with(fine, fine) as (front, _):
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"):
            for name in names:
                for value in odd:
                    reply = await front.post(chat(**{name: value}), path)
                    assert reply.status in (200, 400, 404), (path, name, value, reply.body)


async def test_schema_nested_as_deep_as_may_be_is_answered() -> None:
    schema: Any = {"type": "string"}
    for _ in range(120):
        schema = {"type": "object", "properties": {"a": schema}, "description": "x " * 200}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    async with gateway_with(fine) as (front, _):
        reply = await front.post(chat(tools=[tool]))
        assert reply.status in (200, 400), reply.body


async def test_an_image_for_a_model_that_reads_text_is_400_and_reaches_no_backend() -> None:
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    asked = chat(messages=[{"role": "user", "content": parts}])
    async with gateway_with(fine, vision=False) as (front, backends):
        reply = await front.post(asked)
        assert (reply.status, reply.error["code"]) == (400, "unsupported_content")
        assert not backends[0].calls
    async with gateway_with(fine, vision=True) as (front, backends):
        assert (await front.post(asked)).status == 200


async def _reads_text_only(call: Call) -> None:
    """As vLLM with a text model: an image is refused with words, and not counted either."""
    if b"image_url" in orjson.dumps(call.body):
        error = {"message": "not a multimodal model", "type": "x", "param": None, "code": 400}
        await call.send(answer(orjson.dumps({"error": error}), status=400))
    elif call.path == "/v1/tokenize":
        await call.send(answer(b'{"count": 9}'))
    else:
        await fine(call)


async def test_an_image_that_the_backend_does_not_count_is_refused_in_its_own_words() -> None:
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    asked = chat(messages=[{"role": "user", "content": parts}])
    gateway = Gateway()
    async with running(_reads_text_only) as (backend,), front_of(gateway) as door:
        model = ServedModel(MODEL, max_model_len=8192)
        gateway.serve([Served(Backend(backend.url, "sglang"), [model])])
        reply = await door.post(asked)
        assert (reply.status, reply.error["message"]) == (400, "not a multimodal model")
        counted = await door.post(asked, "/tokenize")
        assert (counted.status, counted.error["code"]) == (400, "backend_refused")


async def test_a_suffix_that_would_be_ignored_is_400_and_reaches_no_backend() -> None:
    asked = orjson.dumps({"model": MODEL, "prompt": "def f(", "suffix": "return x"})
    async with gateway_with(fine, takes_suffix=False) as (front, backends):
        reply = await front.post(asked, "/v1/completions")
        assert (reply.status, reply.error["code"]) == (400, "unsupported_suffix")
        assert not backends[0].calls
    async with gateway_with(fine) as (front, backends):
        assert (await front.post(asked, "/v1/completions")).status == 200


async def test_infill_goes_to_the_path_of_its_own_that_the_refusal_names() -> None:
    async def fills_in(call: Call) -> None:
        await call.send(answer(orjson.dumps({"content": "a + b", "asked": call.path})))

    asked = orjson.dumps({"input_prefix": "return ", "input_suffix": "\n", "n_predict": 8})
    async with gateway_with(fills_in, takes_suffix=False) as (front, backends):
        reply = await front.post(asked, "/infill")
        assert (reply.status, orjson.loads(reply.body)["content"]) == (200, "a + b")
        assert backends[0].calls[0].path == "/infill"
        assert backends[0].calls[0].body["input_suffix"] == "\n"


async def test_unknown_model_is_404_and_suggests_the_nearest() -> None:
    async with gateway_with(fine) as (front, _):
        reply = await front.post(chat(model="codr"))
        assert reply.status == 404
        assert reply.error["code"] == "model_not_found"
        assert "'coder'" in reply.error["message"]


async def test_of_duplicate_keys_the_last_is_checked_and_sent() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        body = chat()[:-1] + b',"max_tokens":5,"max_tokens":"x"}'
        assert (await front.post(body)).status == 400
        body = chat()[:-1] + b',"max_tokens":"x","max_tokens":5}'
        assert (await front.post(body)).status == 200
        assert backend.calls[0].body["max_tokens"] == 5


async def test_prompt_of_2_mb_reaches_the_backend_whole() -> None:
    text = "wörd " * 400_000
    async with gateway_with(fine) as (front, (backend,)):
        reply = await front.post(orjson.dumps({"model": MODEL, "prompt": text}), "/v1/completions")
        assert reply.status == 200
        assert backend.calls[0].body["prompt"] == text


async def test_body_over_16_mb_is_413() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        reply = await front.post(b" " * (request_validation.MAX_BODY_BYTES + 1))
        assert reply.status == 413
        assert reply.error["code"] == "too_large"
        assert not backend.calls


async def test_compressed_bomb_is_413() -> None:
    bomb = gzip.compress(b" " * (64 * 1024 * 1024))
    async with gateway_with(fine) as (front, _):
        reply = await front.post(bomb, headers={"Content-Encoding": "gzip"})
        assert reply.status == 413


async def test_body_that_is_not_compressed_as_declared_is_400_and_ends_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with gateway_with(fine) as (front, _):
        reply = await front.post(chat(), headers={"Content-Encoding": "gzip"})
        assert (reply.status, reply.headers["Connection"]) == (400, "close")
        assert (await front.chat()).status == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_body_that_is_not_compressed_as_declared_is_no_error_where_none_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with gateway_with(fine) as (front, _):
        reader, writer = await front.connect()
        head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
        writer.write(head + b"Content-Length: 5\r\n\r\nhello")
        answered = await asyncio.wait_for(reader.read(), 10)
        assert answered.startswith(b"HTTP/1.1 200")
        assert b"\r\nConnection: close\r\n" in answered
        writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_body_that_is_compressed_in_another_way_is_400_and_names_those_that_are_read() -> (
    None
):
    async with gateway_with(fine) as (front, _):
        reply = await front.post(chat(), headers={"Content-Encoding": "zstd"})
        assert reply.status == 400
        assert "gzip or deflate" in reply.error["message"]


async def test_unknown_path_and_method_are_openai_errors() -> None:
    async with gateway_with(fine) as (front, _):
        assert (await front.post(b"{}", "/v1/nothing")).error["code"] == "no_such_path"
        async with front.http.get(front.url + "/v1/chat/completions") as response:
            assert (response.status, response.headers["Allow"]) == (405, "POST")
            assert "error" in await response.json()
        assert (await front.post(b"{}", "/v1/models")).headers["Allow"] == "GET, HEAD"


async def test_wrong_key_is_401_and_no_key_reaches_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with gateway_with(fine, keys=keys_of({"ann": hash_of("s3cret")})) as (front, _):
        for given in ("", "Bearer", "Bearer wr0ng", "Basic s3cret", "Bearer \xff"):
            reply = await front.post(chat(), headers={"Authorization": given} if given else {})
            assert reply.status == 401
            assert reply.error["code"] == "invalid_api_key"
        reply = await front.post(chat(), headers={"Authorization": "Bearer s3cret"})
        assert reply.status == 200
    assert "s3cret" not in caplog.text
    assert "wr0ng" not in caplog.text


async def test_flood_of_headers_is_refused_and_the_connection_closed() -> None:
    async with gateway_with(fine) as (front, _):
        reader, writer = await front.connect()
        lines = b"".join(b"x-%d: y\r\n" % number for number in range(1000))
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n" + lines)  # and no end
        assert (await asyncio.wait_for(reader.readexactly(12), 10))[8:] == b" 400"
        writer.close()
        assert (await front.chat()).status == 200


async def test_one_endless_header_is_refused_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with gateway_with(fine) as (front, _):
        reader, writer = await front.connect()
        writer.write(b"GET /v1/models HTTP/1.1\r\nX: " + b"y" * 100_000)
        assert (await asyncio.wait_for(reader.read(100), 10))[8:12] == b" 400"
        writer.close()
    assert "Error handling request" in caplog.text
    assert "yyyy" not in caplog.text


async def test_client_that_never_ends_its_head_is_dropped() -> None:
    async with gateway_with(fine, timings=GatewayTimings(head_s=0.3)) as (front, _):
        reader, writer = await front.connect()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\n")
        dripping = asyncio.create_task(_drip(writer))
        with contextlib.suppress(ConnectionResetError):  # what comes after the end resets it
            assert await asyncio.wait_for(reader.read(), 20) == b""
        assert not dripping.done()
        dripping.cancel()
        writer.close()


async def _drip(writer: asyncio.StreamWriter) -> None:
    for number in range(1000):
        writer.write(b"x-%d: y\r\n" % number)
        await asyncio.sleep(0.05)


async def test_client_that_never_ends_its_body_is_408() -> None:
    async with gateway_with(fine, timings=GatewayTimings(body_s=0.2)) as (front, (backend,)):
        reader, writer = await front.connect()
        writer.write(chat_bytes()[:-5])
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 408")
        writer.close()
        assert not backend.calls
        assert 'code="request_timeout"' in await front.metrics()


async def test_body_that_a_client_holds_back_is_asked_for() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        reader, writer = await front.connect()
        head, _, body = chat_bytes().partition(b"\r\n\r\n")
        writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
        invited = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert invited == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert not backend.calls
        writer.write(body)
        answered = await asyncio.wait_for(reader.readuntil(b"data: [DONE]"), 10)
        assert answered.startswith(b"HTTP/1.1 200")
        writer.close()


async def test_expectation_that_is_not_known_is_417() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        reader, writer = await front.connect()
        writer.write(chat_bytes().replace(b"\r\n\r\n", b"\r\nExpect: tea\r\n\r\n", 1))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert head.startswith(b"HTTP/1.1 417")
        writer.close()
        assert not backend.calls


class _Leaves:
    """A check in which the client closes its connection, just before its answer begins."""

    def __init__(self, state: GatewayState) -> None: ...

    async def check(self, context: RequestContext, /) -> None:
        transport = context.request.transport
        assert transport is not None
        transport.close()
        await web.StreamResponse().prepare(context.request)


async def test_client_that_leaves_as_its_answer_begins_is_no_error_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with front_of(Gateway(model_request=(_Leaves,))) as door:
        reader, writer = await door.connect()
        writer.write(chat_bytes())
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_chunked_upload_that_is_cut_off_reaches_no_backend() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        _, writer = await front.connect()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + chunk(chat()[:20])
        )
        await writer.drain()
        writer.close()
        await asyncio.sleep(0.05)
        assert (await front.chat()).status == 200
        assert len(backend.calls) == 1


async def test_nonsense_in_a_chunked_upload_is_400() -> None:
    async with gateway_with(fine) as (front, _):
        reader, writer = await front.connect()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
            b"zz\r\nnonsense"
        )
        assert (await asyncio.wait_for(reader.readexactly(12), 10))[8:] == b" 400"
        writer.close()


async def endless(call: Call) -> None:
    """Tokens, one by one, for as long as anybody listens."""
    await call.send(STREAM)
    while True:
        await call.send(chunk(event("word " * 20)))
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("scenario", [endless, hangs], ids=["mid-stream", "in the prefill"])
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_client_that_leaves_stops_the_backend(
    scenario: Any, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "stoker")
    async with gateway_with(scenario) as (front, (backend,)):
        _, writer = await front.connect()
        writer.write(chat_bytes(stream=stream))
        await wait_for(lambda: bool(backend.calls))
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await asyncio.wait_for(backend.left.wait(), 10)
        assert "stoker_clients_left_total 1.0" in await front.metrics()
        assert front.gateway.pool.backends[0].in_flight == 0
    assert "a client left" in caplog.text


async def test_client_that_leaves_the_queue_is_forgotten() -> None:
    async with gateway_with(hangs, max_concurrent=1) as (front, (backend,)):
        slots = front.gateway.slots
        writers = [(await front.connect())[1] for _ in range(3)]
        for writer in writers:
            writer.write(chat_bytes())
        await wait_for(lambda: slots.waiting == 2)
        writers[2].transport.abort()
        await wait_for(lambda: slots.waiting == 1)
        writers[0].transport.abort()
        await wait_for(lambda: len(backend.calls) == 2)
        writers[1].transport.abort()
        await wait_for(lambda: front.gateway.pool.backends[0].in_flight == 0)
        assert slots.waiting == 0
        assert "stoker_clients_left_total 3.0" in await front.metrics()


async def test_slow_client_makes_the_backend_wait() -> None:
    written = 0
    total = 96 * 1024 * 1024

    async def torrent(call: Call) -> None:
        nonlocal written
        await call.send(STREAM)
        piece = chunk(event("x" * 60_000))
        while written < total:
            await call.send(piece)
            written += len(piece)
        await call.send(chunk(DONE), b"0\r\n\r\n")

    async with gateway_with(torrent) as (front, _):
        reader, writer = await front.connect()
        writer.write(chat_bytes())
        await reader.read(1000)
        before = -1
        while before != written:  # until everything between the two is full
            before = written
            await asyncio.sleep(0.2)
        # The gateway's own 256 KB, and what the kernel's socket buffers hold on both sides: where
        # its receive buffers grow to 32 MB, 41 MB in all were seen.
        assert written < 64 * 1024 * 1024
        got = 1000
        while data := await reader.read(1 << 20):
            got += len(data)
            if data.endswith(b"0\r\n\r\n"):
                break
        assert got > total
        writer.close()


async def test_client_that_never_reads_is_dropped_in_the_end() -> None:
    async def torrent(call: Call) -> None:
        await call.send(STREAM)
        while True:
            await call.send(chunk(event("x" * 60_000)))

    timings = GatewayTimings(keep_alive_s=0.1, silence_s=0.5, linger_s=0.3)
    async with gateway_with(torrent, timings=timings) as (front, (backend,)):
        _, writer = await front.connect()
        writer.write(chat_bytes())
        await asyncio.wait_for(backend.left.wait(), 10)
        await wait_for(lambda: front.gateway.pool.backends[0].in_flight == 0)
        writer.transport.abort()


@pytest.mark.parametrize("text", [None, 5, ["x"]])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/tokenize", "/fit"])
async def test_a_part_whose_text_is_no_text_is_400(path: str, text: Any) -> None:
    parts = [{"type": "text", "text": text}]
    async with gateway_with(fine) as (front, (backend,)):
        reply = await front.post(chat(messages=[{"role": "user", "content": parts}]), path)
        assert (reply.status, reply.error["param"]) == (400, "messages[0].content[0].text")
        assert not backend.calls


async def test_tools_that_nest_too_deeply_once_they_are_emulated_are_400() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(124):
        schema = {"type": "object", "properties": {"a": schema}}
    tools = [{"type": "function", "function": {"name": n, "parameters": schema}} for n in "fg"]
    async with gateway_with(fine, tools="none") as (front, (backend,)):
        reply = await front.post(chat(tools=tools, tool_choice="required"))
        assert (reply.status, reply.error["code"]) == (400, "nested_too_deeply")
        assert not backend.calls


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/tokenize", "/fit"])
async def test_without_a_model_everything_that_needs_one_is_503(path: str) -> None:
    async with gateway_with(fine) as (front, _):
        front.gateway.pause(Problem("The engine ended."))
        for body in (chat(), orjson.dumps({"messages": MESSAGES})):
            reply = await front.post(body, path)
            assert (reply.status, reply.error["code"]) == (503, "model_not_ready")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
async def test_limit_with_a_point_is_sent_on_as_a_whole_number(path: str) -> None:
    async with gateway_with(fine) as (front, (backend,)):
        for limit in (b"100.0", b"1e2"):
            reply = await front.post(chat(prompt="x")[:-1] + b',"max_tokens":' + limit + b"}", path)
            assert reply.status == 200
            assert b"%r" % backend.calls[-1].body["max_tokens"] == b"100"
        for limit in (b"100.5", b"1e300"):
            reply = await front.post(chat(prompt="x")[:-1] + b',"max_tokens":' + limit + b"}", path)
            assert (reply.status, reply.error["param"]) == (400, "max_tokens")


async def test_limit_of_0_is_sent_on_where_the_prompt_is_echoed() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        for fields, sent in (({"echo": True}, 0), ({}, None)):
            body = chat(prompt="x", max_tokens=0, **fields)
            assert (await front.post(body, "/v1/completions")).status == 200
            assert backend.calls[-1].body.get("max_tokens") == sent
