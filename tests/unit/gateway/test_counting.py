"""What the gateway does where the backend counts, can't count, or is down."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.gateway.backends import MODEL, Front, front

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served

WINDOW = 2048
LONG = "word " * 1500


@contextlib.asynccontextmanager
async def in_front_of_vllm(
    count_status: int = 200, counted: bytes | None = None
) -> AsyncIterator[tuple[Front, list[Any]]]:
    """The gateway before a server with vLLM's paths that counts a token for each word.

    ``counted`` is answered in place of the count.
    """
    asked: list[Any] = []

    async def tokenize(request: web.Request) -> web.Response:
        body = await request.json()
        texts = [body["prompt"]] if "prompt" in body else [m["content"] for m in body["messages"]]
        count = sum(len(str(text).split()) for text in texts)
        body = orjson.dumps({"count": count}) if counted is None else counted
        return web.Response(body=body, status=count_status, content_type="application/json")

    async def complete(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"choices": [], "usage": {}})

    app = web.Application()
    app.router.add_post("/tokenize", tokenize)
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_post("/v1/completions", complete)
    gateway = Gateway()
    async with TestServer(app) as server, front(gateway) as door:
        backend = Backend(str(server.make_url("")).rstrip("/"), "vllm")
        gateway.serve([Served(backend, [ServedModel(MODEL, max_model_len=WINDOW)])])
        yield door, asked


def completion(**fields: Any) -> bytes:
    return orjson.dumps({"model": MODEL, **fields})


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_a_path_to_count_at_is_asked_unfitted(status: int) -> None:
    async with in_front_of_vllm(count_status=status) as (door, asked):
        messages = [{"role": "user", "content": LONG}]
        assert (await door.chat(messages=messages)).status == 200
        assert asked[0]["messages"] == messages
        for fields in ({"prompt": "x"}, {"messages": messages}):
            reply = await door.post(completion(**fields), "/tokenize")
            assert (reply.status, reply.error["code"]) == (501, "cannot_count")


@pytest.mark.parametrize(
    "counted", [b"{}", b"[]", b'{"count": null}', b'{"count": "x"}', b"no JSON"]
)
async def test_a_server_whose_answer_holds_no_count_is_one_that_can_not_count(
    counted: bytes,
) -> None:
    async with in_front_of_vllm(counted=counted) as (door, asked):
        messages = [{"role": "user", "content": LONG}]
        assert (await door.chat(messages=messages)).status == 200
        assert asked[0]["messages"] == messages
        assert (await door.post(completion(prompt=LONG), "/v1/completions")).status == 200
        reply = await door.post(completion(messages=messages), "/tokenize")
        assert (reply.status, reply.error["code"]) == (501, "cannot_count")


async def test_a_server_that_is_down_is_503() -> None:
    async with in_front_of_vllm(count_status=503) as (door, asked):
        reply = await door.chat(messages=[{"role": "user", "content": LONG}])
        assert (reply.status, reply.error["code"]) == (503, "model_not_ready")
        assert not asked


@pytest.mark.parametrize(
    ("prompt", "most"),
    [
        (LONG, WINDOW - 1500 - 2),
        ("x", WINDOW - 1 - 2),
        ("word " * (WINDOW - 1), 1),
        (["x", "y"], WINDOW),
        ([5, 6, 7], WINDOW),
    ],
)
async def test_a_completion_ends_within_the_window(prompt: Any, most: int) -> None:
    async with in_front_of_vllm() as (door, asked):
        for name in ("max_tokens", "max_completion_tokens"):
            body = completion(prompt=prompt, **{name: 10**6})
            assert (await door.post(body, "/v1/completions")).status == 200
            assert asked[-1] == {"model": MODEL, "prompt": prompt, name: most}


async def test_a_completion_that_fits_or_must_not_be_fitted_is_sent_as_it_is() -> None:
    async with in_front_of_vllm() as (door, asked):
        for fields in ({"prompt": "x", "max_tokens": 100}, {"prompt": LONG}):
            await door.post(completion(**fields), "/v1/completions")
            assert asked[-1] == {"model": MODEL, **fields}
        body = completion(prompt="x", max_tokens=10**6)
        await door.post(body, "/v1/completions", {"x-stoker-fit": "off"})
        assert asked[-1]["max_tokens"] == 10**6


async def test_a_completion_without_room_for_an_answer_is_400_with_the_numbers() -> None:
    async with in_front_of_vllm() as (door, asked):
        reply = await door.post(completion(prompt="word " * 3001), "/v1/completions")
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        assert reply.error["param"] == "prompt"
        assert "3001 tokens" in reply.error["message"]
        assert not asked


@pytest.mark.parametrize("status", [400, 404, 503])
async def test_a_completion_that_can_not_be_counted_is_clamped_to_the_window(status: int) -> None:
    async with in_front_of_vllm(count_status=status) as (door, asked):
        body = completion(prompt=LONG, max_tokens=10**6)
        assert (await door.post(body, "/v1/completions")).status == 200
        assert asked[-1]["max_tokens"] == WINDOW


@contextlib.asynccontextmanager
async def in_front_of_sglang() -> AsyncIterator[tuple[Front, list[Any], list[Any]]]:
    """The gateway before a SGLang whose ``/v1/tokenize`` takes a prompt, and no messages."""
    counted: list[Any] = []
    asked: list[Any] = []

    async def tokenize(request: web.Request) -> web.Response:
        counted.append(await request.json())
        return web.json_response({"message": "prompt: Field required"}, status=400)

    async def complete(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"choices": [], "usage": {}})

    app = web.Application()
    app.router.add_post("/v1/tokenize", tokenize)
    app.router.add_post("/v1/chat/completions", complete)
    gateway = Gateway()
    async with TestServer(app) as server, front(gateway) as door:
        backend = Backend(str(server.make_url("")).rstrip("/"), "sglang")
        gateway.serve([Served(backend, [ServedModel(MODEL, max_model_len=WINDOW)])])
        yield door, asked, counted


async def test_a_server_that_refuses_to_count_anything_is_logged_once_as_one_that_cannot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = [{"role": "user", "content": LONG}]
    async with in_front_of_sglang() as (door, asked, counted):
        for _ in range(3):
            assert (await door.chat(messages=messages)).status == 200
        reply = await door.post(completion(messages=messages), "/tokenize")
        assert (reply.status, reply.error["code"]) == (501, "cannot_count")
        assert len(asked) == 3
        assert len([body for body in counted if body["messages"][-1]["content"] == "Hi"]) <= 5
    assert caplog.text.count("not fitted") == 1
