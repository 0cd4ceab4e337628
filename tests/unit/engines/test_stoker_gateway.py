"""Stoker's own gateway is known as what it is, and can be one gateway's backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.support import contract_servers as contract
from tests.unit.gateway.backends import front

from stoker import __version__, engines
from stoker.access.api_keys import Keys, hash_of, keys_of
from stoker.engines import Backend, ServedModel
from stoker.engines.server_detection import recognise
from stoker.gateway import Gateway, Served

SERVED = ServedModel("org/m", max_model_len=8192)
KEY = "a-key"
KEYS = keys_of({"ann": hash_of(KEY)})
CHAT: dict[str, Any] = {"model": "org/m", "messages": [{"role": "user", "content": "Hi " * 50}]}
PARAMETERS = {"type": "object", "properties": {}}
TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Look closely.", "parameters": PARAMETERS},
}


def _sglang() -> web.Application:
    """As SGLang's API: a token for each four bytes of what is to be read."""

    async def tokenize(request: web.Request) -> web.Response:
        body = await request.json()
        read = {name: body[name] for name in ("messages", "tools", "prompt") if name in body}
        return web.json_response({"count": len(orjson.dumps(read)) // 4})

    async def chat(request: web.Request) -> web.Response:
        message = {"role": "assistant", "content": "Hello."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "choices": [choice]})

    app = web.Application()
    app.router.add_post("/v1/tokenize", tokenize)
    app.router.add_post("/v1/chat/completions", chat)
    return app


@asynccontextmanager
async def gateway(*models: ServedModel, keys: Keys | None = None) -> AsyncIterator[str]:
    """The address of a gateway in front of an SGLang with these models."""
    door = Gateway(keys)
    async with TestServer(_sglang()) as server:
        backend = Backend(str(server.make_url("")).rstrip("/"), "sglang")
        door.serve([Served(backend, models)])
        async with front(door) as served:
            yield f"http://127.0.0.1:{served.port}"


async def test_gateway_is_known_by_name_version_and_what_is_behind_it() -> None:
    async with gateway(SERVED) as url:
        found = await recognise(url)
    assert (found.backend.engine, found.version) == ("stoker", __version__)
    assert found.behind == ("sglang",)
    assert found.words == f"stoker {__version__} in front of sglang"
    assert f"editors can use it as it is: stoker code --endpoint {url}" in found.warnings[0]


async def test_gateway_with_keys_is_known_with_one() -> None:
    async with gateway(SERVED, keys=KEYS) as url:
        found = await recognise(url, KEY)
    assert found.words == f"stoker {__version__} in front of sglang"


async def test_what_it_can_not_distinguish_from_unknown_is_left_open() -> None:
    emulated = replace(SERVED, id="small", tools="none", vision=False)
    able = replace(SERVED, id="able", vision=True, fill_in_the_middle=True, quantization="FP8")
    async with gateway(emulated, able) as url:
        small, other = (await recognise(url)).models
    # Tools are emulated there, so that a second emulation here would offer them twice.
    assert (small.tools, small.vision, small.max_model_len) == ("emulated", None, 8192)
    assert (other.tools, other.vision, other.fill_in_the_middle) == ("native", True, True)
    assert other.quantization == "FP8"


async def test_server_that_only_lists_models_of_stoker_is_not_taken_for_its_gateway() -> None:
    listing = {"object": "list", "data": [{"id": "m", "owned_by": "stoker"}]}
    async with TestServer(contract.app({"GET /v1/models": listing})) as server:
        found = await recognise(str(server.make_url("")))
    assert (found.backend.engine, found.behind) == ("openai", ())


async def test_counts_through_it_are_those_of_the_server_behind_it() -> None:
    async with TestServer(_sglang()) as server, aiohttp.ClientSession() as http:
        there = Backend(str(server.make_url("")).rstrip("/"), "sglang")
        asked = {**CHAT, "tools": [TOOL]}
        expected = await engines.server_client("sglang").count(http, there, asked)
        async with gateway(SERVED) as url:
            here = Backend(url, "stoker")
            assert await engines.server_client("stoker").count(http, here, asked) == expected


async def test_gateway_in_front_of_a_gateway_answers_and_fits() -> None:
    long = {**CHAT, "messages": [*CHAT["messages"] * 200, {"role": "user", "content": "Last."}]}
    async with gateway(SERVED, keys=KEYS) as url:
        found = await recognise(url, KEY)
        outer = Gateway()
        outer.serve([Served(found.backend, found.models)])
        async with front(outer) as served, aiohttp.ClientSession() as http:
            address = f"http://127.0.0.1:{served.port}"
            async with http.post(f"{address}/v1/chat/completions", json=long) as answer:
                reply = await answer.json()
                assert reply["choices"][0]["message"]["content"] == "Hello."
                assert "messages" in answer.headers["x-stoker-fit"]
            async with http.get(f"{address}/ready") as ready:
                assert ready.status == 200


async def test_second_name_of_a_model_is_no_second_model() -> None:
    async with gateway(SERVED) as url, aiohttp.ClientSession() as http:
        found = await recognise(url)
        as_openai = await engines.server_client("openai").discover(http, Backend(url, "openai"))
        outer = Gateway()
        outer.serve([Served(found.backend, found.models)])
        async with front(outer) as served, http.get(served.url + "/v1/models") as listing:
            names = [entry["id"] for entry in (await listing.json())["data"]]
    assert [model.id for model in found.models] == ["org/m"]
    assert [model.id for model in as_openai] == ["org/m"]
    assert names == ["org/m", "local"]


async def test_model_that_is_really_called_local_is_found_through_a_gateway() -> None:
    async with gateway(replace(SERVED, id="local")) as url:
        assert [model.id for model in (await recognise(url)).models] == ["local"]
