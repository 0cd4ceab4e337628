"""Whatever a backend does: a well-formed answer for the client, a log line and a metric."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    STREAM,
    Call,
    Scenario,
    answer,
    chunk,
    event,
    gateway_to,
    gateway_with,
    usage,
)

from stoker.gateway import GatewayTimings
from stoker.gateway.relay.event_framing import PING

HELLO = (event("Hel"), event("lo"))
TOOLS = [{"type": "function", "function": {"name": "read_file", "parameters": {}}}]


async def fine(call: Call) -> None:
    if call.body.get("stream"):
        await call.stream(*HELLO, usage(), DONE)
    else:
        await call.send(answer(b'{"choices":[{"message":{"content":"Hello"}}],"usage":{}}'))


async def hangs(call: Call) -> None:
    await asyncio.sleep(3600)


async def dies_before_a_byte(call: Call) -> None:
    call.die()


async def dies_within_the_head(call: Call) -> None:
    await call.send(STREAM[:30])
    call.die()


async def dies_after_3_tokens(call: Call) -> None:
    await call.send(STREAM, *map(chunk, (event("a"), event("b"), event("c"))))
    call.die()


async def sends_half_a_chunk(call: Call) -> None:
    await call.send(STREAM, chunk(event("x")), chunk(event("b"))[:20])
    call.die()


async def sends_half_an_event(call: Call) -> None:
    await call.stream(event("a"), event("b")[:20])


async def ends_without_done(call: Call) -> None:
    await call.stream(*HELLO)


async def breaks_chunked_framing(call: Call) -> None:
    await call.send(STREAM, chunk(event("x")), b"zz\r\nnonsense\r\n")
    await asyncio.sleep(3600)


async def answers_html(call: Call) -> None:
    await call.send(answer(b"<html>Welcome to nginx</html>", kind="text/html"))


async def answers_what_is_not_http(call: Call) -> None:
    await call.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    await asyncio.sleep(3600)


async def switches_protocols(call: Call) -> None:
    await call.send(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    await asyncio.sleep(3600)


async def answers_broken_json(call: Call) -> None:
    await call.send(answer(b'{"choices": [{"mess'))


async def cuts_its_answer_off(call: Call) -> None:
    await call.send(answer(b'{"choices": []}')[:-4])
    call.die()


async def answers_500_html(call: Call) -> None:
    await call.send(answer(b"<h1>Oops</h1>", status=500, kind="text/html"))


async def sends_a_head_without_end(call: Call) -> None:
    await call.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await call.send(b"X-Filler: " + b"x" * 65536 + b"\r\n")


def events_of(body: bytes) -> list[Any]:
    """The events of a stream. Fails where it is not one, or does not end as it must."""
    assert body.endswith(DONE)
    parts = [part for part in body.decode().split("\n\n") if part and not part.startswith(":")]
    assert all(part.startswith("data: ") for part in parts)
    return [orjson.loads(part[6:]) for part in parts[:-1]]


def text_of(body: bytes) -> str:
    choices = [choice for e in events_of(body) for choice in e.get("choices", ())]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def error_of(body: bytes) -> dict[str, Any]:
    error: dict[str, Any] = events_of(body)[-1]["error"]
    assert error["message"]
    return error


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        (dies_after_3_tokens, "abc"),
        (sends_half_a_chunk, "x"),
        (breaks_chunked_framing, "x"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("tools", [None, TOOLS], ids=["unparsed", "parsed"])
async def test_stream_that_breaks_off_ends_with_an_error_event(
    scenario: Scenario, text: str, tools: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_with(scenario) as (front, _):
        body = await front.stream(**({"tools": tools} if tools else {}))
        assert text_of(body) == text
        assert error_of(body)["code"] == "backend_failed"
        assert 'stoker_backend_faults_total{fault="broke off"} 1.0' in await front.metrics()
    assert "broke off" in caplog.text


@pytest.mark.parametrize(
    ("scenario", "text", "fault"),
    [
        (sends_half_an_event, "a", "ended within an event"),
        (ends_without_done, "Hello", "ended without [DONE]"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_stream_that_ends_badly_is_ended_well(
    scenario: Scenario, text: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_with(scenario) as (front, _):
        assert text_of(await front.stream()) == text
        assert f'fault="{fault}"' in await front.metrics()
    assert fault in caplog.text


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        (dies_before_a_byte, 503, "model_not_ready"),
        (dies_within_the_head, 503, "model_not_ready"),
        (answers_what_is_not_http, 503, "model_not_ready"),
        (switches_protocols, 503, "model_not_ready"),
        (sends_a_head_without_end, 503, "model_not_ready"),
        (answers_html, 502, "backend_failed"),
        (answers_broken_json, 502, "backend_failed"),
        (cuts_its_answer_off, 502, "backend_failed"),
        (answers_500_html, 500, "backend_refused"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_backend_that_gives_no_answer_is_an_error_in_openai_format(
    scenario: Scenario, status: int, code: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with gateway_with(scenario) as (front, _):
        response = await front.chat(stream=stream)
        assert response.status == status
        assert response.error["code"] == code
        assert f'status="{status}"' in await front.metrics()
    assert any(record.levelno >= logging.WARNING for record in caplog.records)


async def test_backend_that_refuses_connections_is_503_with_retry_after() -> None:
    async with gateway_to("http://127.0.0.1:9") as front:
        response = await front.chat()
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0


OFTEN = GatewayTimings(keep_alive_s=0.1)
LOOK = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


async def test_backend_that_hangs_is_given_up_with_an_error_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    timings = GatewayTimings(keep_alive_s=0.1, silence_s=0.5)
    async with gateway_with(hangs, timings=timings) as (front, (backend,)):
        body = await front.stream()
        assert body.startswith(PING)
        assert error_of(body)["code"] == "backend_failed"
        await asyncio.wait_for(backend.left.wait(), 10)
        assert (await front.chat(stream=False)).status == 503
    assert "silent" in caplog.text


async def test_backend_that_hangs_in_the_middle_is_given_up() -> None:
    async def stalls(call: Call) -> None:
        await call.send(STREAM, chunk(event("a")))
        await asyncio.sleep(3600)

    async with gateway_with(stalls, timings=GatewayTimings(silence_s=0.3)) as (front, _):
        body = await front.stream()
        assert text_of(body) == "a"
        assert error_of(body)["code"] == "backend_failed"


async def test_long_prefill_is_bridged_with_comments() -> None:
    async def slow(call: Call) -> None:
        await asyncio.sleep(0.4)
        await fine(call)

    async with gateway_with(slow, timings=OFTEN) as (front, _):
        body = await front.stream()
        assert body.startswith(PING)
        assert text_of(body) == "Hello"


def call_event(arguments: str, finish: str | None = None) -> bytes:
    """A piece of a native call, or the end of the answer."""
    function = {"name": "look", "arguments": arguments}
    delta = {} if finish else {"tool_calls": [{"index": 0, "function": function}]}
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


async def test_comments_flow_while_a_call_is_put_together() -> None:
    async def writes_slowly(call: Call) -> None:
        await call.send(STREAM)
        for piece in ('{"path"', ': "a"', "}"):
            await call.send(chunk(call_event(piece)))
            await asyncio.sleep(0.2)
        await call.send(chunk(call_event("", "tool_calls")), chunk(DONE), b"0\r\n\r\n")

    async with gateway_with(writes_slowly, timings=OFTEN) as (front, _):
        body = await front.stream(tools=LOOK)
        before, _, after = body.partition(b"data: ")
        assert before.count(PING) >= 2
        assert after.count(b'"tool_calls":[') == 1
        assert b'{\\"path\\": \\"a\\"}' in after


async def test_backend_that_dies_inside_of_a_call_leaves_no_call() -> None:
    async def dies(call: Call) -> None:
        await call.send(STREAM, chunk(event("So")), chunk(call_event('{"path"')))
        call.die()

    async with gateway_with(dies) as (front, _):
        body = await front.stream(tools=LOOK)
        assert b'"tool_calls"' not in body
        assert "The call of look was cut off and was not run." in text_of(body)
        assert error_of(body)["code"] == "backend_failed"


async def test_refusal_after_a_long_prefill_is_an_error_event() -> None:
    async def refuses_late(call: Call) -> None:
        await asyncio.sleep(0.3)
        await call.send(answer(b'{"error": {"message": "too long"}}', status=400))

    async with gateway_with(refuses_late, timings=OFTEN) as (front, _):
        assert error_of(await front.stream())["message"] == "too long"


async def test_utf8_broken_across_chunks_arrives_whole() -> None:
    async def splits(call: Call) -> None:
        data = event("größe 🎉")
        await call.send(STREAM, *(chunk(data[i : i + 1]) for i in range(len(data))))
        await call.send(chunk(DONE), b"0\r\n\r\n")

    async with gateway_with(splits) as (front, _):
        assert text_of(await front.stream()) == "größe 🎉"
        assert "stoker_backend_faults_total{" not in await front.metrics()


async def test_invalid_utf8_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    async def invalid(call: Call) -> None:
        await call.stream(event("a-b").replace(b"-", b"\xff\xc3"), DONE)

    async with gateway_with(invalid) as (front, _):
        assert text_of(await front.stream()) == "a\ufffd\ufffdb"
        assert "not UTF-8" in await front.metrics()
    assert "not UTF-8" in caplog.text


async def test_error_in_the_middle_of_a_stream_is_passed_on() -> None:
    async def errs(call: Call) -> None:
        await call.stream(event("a"), b'data: {"error": {"message": "CUDA out of memory"}}\n\n')

    async with gateway_with(errs) as (front, _):
        assert error_of(await front.stream())["message"] == "CUDA out of memory"


async def test_event_that_is_not_json_does_not_stop_the_search_for_calls() -> None:
    async def babbles(call: Call) -> None:
        await call.stream(event("x"), b"data: {oops\n\n", event("b"), DONE)

    async with gateway_with(babbles) as (front, _):
        body = await front.stream(tools=TOOLS)
        assert b'"x"' in body
        assert b'"b"' in body
        assert body.endswith(DONE)
        assert 'fault="event is not JSON"' in await front.metrics()


async def test_crlf_framing_is_understood_wherever_it_is_cut() -> None:
    async def crlf(call: Call) -> None:
        data = b"".join((*HELLO, usage(), DONE)).replace(b"\n", b"\r\n")
        await call.send(STREAM, *(chunk(data[i : i + 3]) for i in range(0, len(data), 3)))
        await call.send(b"0\r\n\r\n")

    async with gateway_with(crlf) as (front, _):
        body = await front.stream()
        assert text_of(body) == "Hello"
        assert body.count(b"[DONE]") == 1
        metrics = await front.metrics()
        assert 'stoker_tokens_total{kind="prompt_tokens",model="coder"} 7.0' in metrics
        assert "stoker_backend_faults_total{" not in metrics


async def test_last_event_without_its_empty_line_is_not_lost() -> None:
    async def hasty(call: Call) -> None:
        await call.stream(event("a"), event("b").rstrip())

    async with gateway_with(hasty) as (front, _):
        assert text_of(await front.stream()) == "ab"


async def test_nothing_is_passed_on_after_done() -> None:
    async def goes_on(call: Call) -> None:
        await call.send(STREAM, chunk(event("a") + DONE + event("b")), chunk(event("c")))
        call.die()

    async with gateway_with(goes_on) as (front, _):
        assert await front.stream() == event("a") + DONE


async def test_usage_is_passed_on_only_to_who_asked() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        plain = await front.stream()
        asked = await front.stream(stream_options={"include_usage": True})
        assert plain == b"".join((*HELLO, DONE))
        assert asked == b"".join((*HELLO, usage(), DONE))
        assert all(call.body["stream_options"]["include_usage"] for call in backend.calls)
        assert 'kind="prompt_tokens",model="coder"} 14.0' in await front.metrics()


async def test_usage_that_makes_no_sense_is_not_counted() -> None:
    async def odd(call: Call) -> None:
        strange = {"prompt_tokens": -5, "completion_tokens": "many"}
        timings = {"prompt_n": "x", "prompt_per_second": None}
        await call.stream(*HELLO, event(usage=strange, timings=timings), DONE)

    async with gateway_with(odd) as (front, _):
        assert text_of(await front.stream()) == "Hello"
        assert "stoker_tokens_total{" not in await front.metrics()


async def test_interim_answer_is_not_the_answer() -> None:
    async def hints(call: Call) -> None:
        await call.send(b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
        await fine(call)

    async with gateway_with(hints) as (front, _):
        assert text_of(await front.stream()) == "Hello"
        assert (await front.chat()).status == 200


async def test_connection_that_was_closed_while_idle_is_replaced_unnoticed() -> None:
    async def once(call: Call) -> None:
        await fine(call)
        asyncio.get_running_loop().call_later(0.02, call.die)

    async with gateway_with(once) as (front, (backend,)):
        for wait_s in (0.0, 0.1, 0.02, 0.02, 0.0):
            assert (await front.chat()).status == 200
            await asyncio.sleep(wait_s)
        assert backend.connections > 1
        assert "stoker_backend_faults_total{" not in await front.metrics()


@pytest.mark.parametrize("streamed", [True, False], ids=["event", "whole"])
async def test_answer_of_70_mb_is_refused_and_memory_stays_flat(streamed: bool) -> None:
    piece = chunk(b"x" * 262_144)

    async def huge(call: Call) -> None:
        await call.send(STREAM if streamed else STREAM.replace(b"event-stream", b"x"))
        for _ in range(280):
            await call.send(piece)
        await call.send(b"0\r\n\r\n")

    async with gateway_with(huge) as (front, (backend,)):
        tracemalloc.start()
        response = await front.chat(stream=True)
        assert response.status == 502
        await asyncio.wait_for(backend.left.wait(), 10)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 4 * 1024 * 1024
        assert 'fault="broke off"' in await front.metrics()


async def test_stream_without_framing_ends_with_the_connection() -> None:
    async def old(call: Call) -> None:
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await call.send(*HELLO, DONE)
        call.writer.close()

    async with gateway_with(old) as (front, _):
        assert await front.stream() == b"".join((*HELLO, DONE))


async def test_half_printed_call_is_given_back_as_text_when_the_backend_dies() -> None:
    async def dies_in_a_call(call: Call) -> None:
        await call.send(STREAM, chunk(event("Hm. ")), chunk(event('<tool_call>{"name": "re')))
        call.die()

    async with gateway_with(dies_in_a_call) as (front, _):
        body = await front.stream(tools=TOOLS)
        assert text_of(body).startswith("Hm. ")
        assert error_of(body)["code"] == "backend_failed"


@pytest.mark.parametrize(
    ("received", "fields"),
    [
        ({"code": 400, "message": "m", "type": "t"}, ("t", None, None)),
        ({"code": "c", "message": "m", "param": "p"}, ("invalid_request_error", "c", "p")),
        (
            {"code": None, "message": "m", "type": 5, "n_ctx": 9},
            ("invalid_request_error",) + 2 * (None,),
        ),
    ],
)
async def test_a_refusal_is_relayed_with_the_fields_of_openais_errors(
    received: dict[str, Any], fields: tuple[str | None, ...]
) -> None:
    async def refuses(call: Call) -> None:
        await call.send(answer(orjson.dumps({"error": received}), status=400))

    async with gateway_with(refuses) as (front, _):
        reply = await front.chat()
        assert (reply.status, reply.error["message"]) == (400, "m")
        assert tuple(reply.error[name] for name in ("type", "code", "param")) == fields
