"""Why something does not work reaches the client in the backend's words, and the log in names."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    Scenario,
    answer,
    chunk,
    event,
    front,
    gateway_to,
    gateway_with,
)

from stoker.access.api_keys import hash_of, keys_of
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, GatewayTimings, Served
from stoker.gateway.health_monitor import HealthMonitor

KEYS = keys_of({"ann": hash_of("a-key")})
FASTAPI = b'{"detail":[{"type":"extra_forbidden","loc":["body","n"],"msg":"my prompt"}]}'


def refusing(status: int, body: bytes, kind: str = "application/json") -> Scenario:
    async def refuse(call: Call) -> None:
        await call.send(answer(body, status=status, kind=kind))

    return refuse


def error_in(stream: bytes) -> dict[str, Any]:
    events = (part[6:] for part in stream.split(b"\n\n") if part.startswith(b"data: {"))
    (error,) = (value["error"] for value in map(orjson.loads, events) if "error" in value)
    assert isinstance(error, dict)
    return error


async def test_refusal_reaches_the_client_and_its_kind_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway_with(refusing(422, FASTAPI)) as (door, _):
        for stream in (True, False):
            reply = await door.chat(stream=stream)
            assert (reply.status, reply.error["message"]) == (422, "body.n: my prompt")
    assert "refused with status 422 (extra_forbidden)" in caplog.text
    assert "my prompt" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}}',
        b'{"error": "the model is loaded with context length of only 8 tokens"}',  # LM Studio
        b'{"detail": "Prompt too long: 9 tokens"}',
        b"prompt too long; exceeded max context length by 1 tokens",
    ],
)
async def test_prompt_that_does_not_fit_has_openais_code_in_every_form(body: bytes) -> None:
    async with gateway_with(refusing(400, body)) as (door, _):
        reply = await door.chat()
    assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")


async def test_refusal_of_a_stream_that_began_has_the_same_words() -> None:
    async def refuses_late(call: Call) -> None:
        await asyncio.sleep(0.3)
        await call.send(answer(FASTAPI, status=422))

    timings = GatewayTimings(keep_alive_s=0.1)
    async with gateway_with(refuses_late, timings=timings) as (door, _):
        stream = await door.stream()
    assert error_in(stream)["message"] == "body.n: my prompt"
    assert stream.endswith(DONE)


@pytest.mark.parametrize("parsed", [False, True], ids=["relayed", "parsed"])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"error": "out of memory", "error_type": "generation"}, "out of memory"),  # TGI
        ({"error": {"message": "too long", "type": "x", "code": 400}}, "too long"),  # vLLM
        ({"object": "error", "message": "too long", "code": 400}, "too long"),  # vLLM of old
        ({"error": {"code": 502, "message": "Provider error", "metadata": {"raw": "full"}}},
         "Provider error: full"),  # OpenRouter
        ({"error": {"detail": [{"loc": ["body"], "msg": "no"}]}}, "body: no"),
    ],
)  # fmt: skip
async def test_error_inside_of_a_stream_has_openais_form(
    error: dict[str, Any], words: str, parsed: bool
) -> None:
    async def fails(call: Call) -> None:
        failure = b"data: " + orjson.dumps(error) + b"\n\n"
        await call.stream(event("Hel"), failure, DONE)

    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    async with gateway_with(fails) as (door, _):
        stream = await door.stream(**({"tools": tools} if parsed else {}))
    found = error_in(stream)
    assert found.keys() == {"message", "type", "param", "code"}
    assert found["message"] == words


@pytest.mark.parametrize("parsed", [False, True], ids=["relayed", "parsed"])
@pytest.mark.parametrize(
    "written",
    [
        b'error: {"code": 500, "message": "boom", "type": "server_error"}\n\n',  # llama.cpp of 2025
        b'event: error\ndata: {"message": "boom"}\n\n',
        b"event: error\ndata: boom\n\n",
        b'{"error": {"message": "boom"}}\n',  # Lemonade passes on its engine's
    ],
)
@pytest.mark.parametrize("end", [b"", DONE], ids=["open", "ended"])
async def test_error_outside_of_the_data_is_an_error_too(
    written: bytes, end: bytes, parsed: bool
) -> None:
    async def fails(call: Call) -> None:
        await call.stream(event("half"), written, *([end] if end else []))

    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    async with gateway_with(fails) as (door, _):
        stream = await door.stream(**({"tools": tools} if parsed else {}))
    assert error_in(stream)["message"] == "boom"
    assert b'"half"' in stream
    assert b'"finish_reason":"stop"' not in stream
    assert stream.endswith(DONE)


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"], ids=["lf", "crlf"])
async def test_an_error_event_without_data_ends_no_stream(end: str) -> None:
    async def talks(call: Call) -> None:
        await call.stream(event("half"), f"event: error{end}".encode(), event("whole"), DONE)

    async with gateway_with(talks) as (door, _):
        stream = await door.stream()
    assert b'"half"' in stream
    assert b'"whole"' in stream
    assert stream.endswith(DONE)


async def test_text_about_an_error_stays_text() -> None:
    async def talks(call: Call) -> None:
        await call.stream(event('{"error": "x"}'), DONE)

    async with gateway_with(talks) as (door, _):
        assert b'{\\"error\\": \\"x\\"}' in await door.stream()


async def test_refusal_that_comes_with_200_is_a_failure() -> None:
    body = b'{"error": {"message": "Provider is down", "code": 503}, "user_id": "u"}'
    async with gateway_with(refusing(200, body)) as (door, _):
        reply = await door.chat(stream=False)
    assert (reply.status, reply.error["message"]) == (502, "Provider is down")


async def test_redirect_is_a_failure_that_names_the_target() -> None:
    async def redirects(call: Call) -> None:
        head = b"HTTP/1.1 308 X\r\nLocation: https://llm.example/v1\r\nContent-Length: 0\r\n\r\n"
        await call.send(head)

    async with gateway_with(redirects) as (door, _):
        reply = await door.chat(stream=False)
    assert reply.status == 502
    assert "redirects to https://llm.example" in reply.error["message"]


async def test_path_that_the_backend_lacks_is_named() -> None:
    body = orjson.dumps({"model": MODEL, "input": "x"})
    async with gateway_with(refusing(404, b'{"detail":"Not Found"}')) as (door, _):
        reply = await door.post(body, "/v1/embeddings")
    assert (reply.status, reply.error["code"]) == (404, "no_such_path")
    assert "has no /v1/embeddings" in reply.error["message"]


RIGHT, WRONG = {"x-api-key": "a-key"}, {"x-api-key": "b-key"}
BEARER, OTHER_BEARER = {"Authorization": "Bearer a-key"}, {"Authorization": "Bearer b-key"}


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/messages", RIGHT, 200),
        ("/v1/messages", {"X-API-Key": " a-key "}, 200),
        ("/v1/messages/count_tokens", RIGHT, 501),
        ("/v1/messages", WRONG, 401),
        ("/v1/messages", {"x-api-key": ""}, 401),
        ("/v1/messages", {}, 401),
        ("/v1/messages", {**BEARER, **RIGHT}, 200),
        ("/v1/messages", {**BEARER, **WRONG}, 401),
        ("/v1/messages", {**OTHER_BEARER, **RIGHT}, 401),
        ("/v1/messages", {"Authorization": "Basic a-key", **RIGHT}, 401),
        ("/v1/chat/completions", RIGHT, 200),
        ("/v1/chat/completions", BEARER, 200),
        ("/v1/chat/completions", WRONG, 401),
        ("/v1/chat/completions", {**OTHER_BEARER, **RIGHT}, 401),
    ],
)
async def test_key_is_taken_from_either_header_and_never_from_two_that_differ(
    path: str, headers: dict[str, str], status: int
) -> None:
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})
    async with gateway_with(refusing(200, b'{"id":"x"}'), keys=KEYS) as (door, _):
        reply = await door.post(body, path, headers)
    assert reply.status == status
    if status == 401:
        message = orjson.loads(reply.body)["error"]["message"]
        assert "`Authorization: Bearer KEY` or `x-api-key: KEY`" in message
        assert ("two different ones" in message) == (len(headers) == 2)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_chat_with_an_embedding_model_is_refused_with_the_reason(path: str) -> None:
    asked = {"model": "embed", "messages": [{"role": "user", "content": "hi"}], "input": "hi"}
    body = orjson.dumps(asked)
    gateway = Gateway()
    gateway.serve(
        [Served(Backend("http://127.0.0.1:9", "openai"), [ServedModel("embed", chat=False)])]
    )
    async with front(gateway) as door:
        reply = await door.post(body, path)
    assert (reply.status, reply.error["code"]) == (400, "model_does_not_chat")


async def test_ready_waits_for_a_model_and_names_why_there_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = 401

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m"}]}, status=status)

    app = web.Application()
    app.router.add_get("/v1/models", models)
    gateway = Gateway()
    watching = HealthMonitor(gateway)
    async with TestServer(app) as server, front(gateway) as door:
        url = str(server.make_url("")).rstrip("/")
        gateway.serve([Served(Backend(url, "", "k", "K"), ())])

        async def ready() -> tuple[int, str]:
            async with door.http.get(door.url + "/ready") as response:
                return response.status, await response.text()

        assert (await ready())[0] == 503  # before anything was asked
        async with aiohttp.ClientSession() as http:
            for _ in range(3):
                await watching.check(http)
            code, text = await ready()
            assert (code, "refuses the gateway's key" in text) == (503, True)
            assert url not in text
            status = 200
            await watching.check(http)
            assert (await ready())[0] == 200
    assert caplog.text.count("refuses the key in K (401)") == 1


async def test_backend_whose_address_is_wrong_is_logged_with_the_systems_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with gateway_to("http://no-such-host.invalid") as door:
        assert (await door.chat()).status == 503
    assert "its name is not known to this machine" in caplog.text


async def test_events_before_an_error_are_kept() -> None:
    async def fails(call: Call) -> None:
        await call.send(STREAM, chunk(event("a") + b'data: {"error":"b"}\n\n'), b"0\r\n\r\n")

    async with gateway_with(fails) as (door, _):
        stream = await door.stream()
    assert b'"content":"a"' in stream
    assert error_in(stream)["message"] == "b"
    assert stream.endswith(DONE)
