"""What vLLM's ``/tokenize`` is asked, so that it counts what a chat renders.

The rules are those of 0.32: vllm/entrypoints/openai/chat_completion/protocol.py.
"""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from stoker.engines import Backend
from stoker.engines.vllm import vllm_client

USER = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "f", "strict": True}}


async def asked(request: dict[str, Any]) -> dict[str, Any]:
    """The body that a server gets to count ``request``."""
    bodies: list[dict[str, Any]] = []

    async def tokenize(call: web.Request) -> web.Response:
        bodies.append(await call.json())
        return web.json_response({"count": 7})

    app = web.Application()
    app.router.add_post("/tokenize", tokenize)
    async with TestServer(app) as server, ClientSession() as http:
        backend = Backend(str(server.make_url("")).rstrip("/"), "vllm")
        assert await vllm_client.count(http, backend, {"model": "m", **request}) == 7
    (body,) = bodies
    assert body.pop("model") == "m"
    return body


async def test_only_what_reaches_the_prompt_is_sent() -> None:
    request = {"messages": [USER], "tools": [TOOL], "stream": True, "tool_choice": "auto"}
    assert await asked(request) == {"messages": [USER], "tools": [TOOL]}


async def test_an_answer_to_continue_is_counted_without_a_new_turn() -> None:
    options = {"continue_final_message": True, "add_generation_prompt": False}
    assert await asked({"messages": [USER], **options}) == {"messages": [USER], **options}


@pytest.mark.parametrize(
    ("message", "counted"),
    [
        ({"reasoning_content": "a"}, {"reasoning": "a"}),
        ({"reasoning": "b"}, {"reasoning": "b"}),
        ({"reasoning_content": "a", "reasoning": "b"}, {"reasoning": "b"}),
        ({"reasoning_content": "a", "reasoning": None}, {"reasoning": "a"}),
        ({"reasoning_content": ""}, {"reasoning": ""}),
    ],
)
async def test_reasoning_is_counted_under_the_name_that_a_chat_renders(
    message: dict[str, Any], counted: dict[str, Any]
) -> None:
    reply = {"role": "assistant", "content": "x"}
    body = await asked({"messages": [USER, {**reply, **message}, USER]})
    assert body["messages"] == [USER, {**reply, **counted}, USER]


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low", "enable_thinking": True}),
        ({"reasoning_effort": "none"}, {"reasoning_effort": "none", "enable_thinking": False}),
        ({"chat_template_kwargs": {"a": 1}}, {"a": 1}),
        (
            {"reasoning_effort": "high", "chat_template_kwargs": {"enable_thinking": False}},
            {"reasoning_effort": "high", "enable_thinking": False},
        ),
        (
            {"reasoning_effort": "high", "chat_template_kwargs": {"reasoning_effort": "low"}},
            {"reasoning_effort": "high", "enable_thinking": True},
        ),
        ({"documents": [{"text": "a"}]}, {"documents": [{"text": "a"}]}),
        ({"reasoning_effort": None, "chat_template_kwargs": None}, None),
    ],
)
async def test_what_a_template_is_given_is_counted(
    options: dict[str, Any], variables: dict[str, Any] | None
) -> None:
    body = await asked({"messages": [USER], **options})
    assert body.get("chat_template_kwargs") == variables


@pytest.mark.parametrize(
    ("health", "readiness", "is_ready"),
    [
        (200, 404, True),  # vLLM
        (503, 404, False),  # vLLM whose engine process has died
        (503, 200, True),  # vllm-router with one of two replicas
        (503, 503, False),  # vllm-router with none
    ],
)
async def test_router_is_ready_while_any_of_its_replicas_is(
    health: int, readiness: int, is_ready: bool
) -> None:
    async def answer(call: web.Request) -> web.Response:
        return web.Response(status=health if call.path == "/health" else readiness)

    app = web.Application()
    app.router.add_get("/{path}", answer)
    async with TestServer(app) as server, ClientSession() as http:
        backend = Backend(str(server.make_url("")).rstrip("/"), "vllm")
        assert await vllm_client.ready(http, backend) is is_ready
