"""A growing conversation is not counted again: its last prompt is known from its usage."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import MODEL, Call, Front, Scripted, answer, front, running

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served

WINDOW = 32_768
#: 1,000 tokens of 4,999 bytes: four of them surely fit by their bytes, five do not.
LONG = " ".join(["word"] * 1000)


def tokens_of(body: dict[str, Any]) -> int:
    """As an engine with a template of 10 tokens a message counts, where a word is one."""
    return sum(10 + len((message["content"] or "").split()) for message in body["messages"])


class Counting:
    """A server that counts as llama.cpp and SGLang do, and reports ``off`` tokens more."""

    def __init__(self) -> None:
        self.off = 0
        self.counted = 0

    async def __call__(self, call: Call) -> None:
        if call.path != "/v1/chat/completions":
            self.counted += 1
            count = tokens_of(call.body)
            await call.send(answer(orjson.dumps({"input_tokens": count, "count": count})))
            return
        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": tokens_of(call.body) + self.off, "completion_tokens": 1}
        await call.send(answer(orjson.dumps({"choices": [choice], "usage": usage})))


@contextlib.asynccontextmanager
async def before(
    server: Counting, engine: str = "llama.cpp"
) -> AsyncIterator[tuple[Front, Scripted, Gateway]]:
    async with running(server) as (backend,):
        gateway = Gateway()
        models = [ServedModel(MODEL, max_model_len=WINDOW, tools="native")]
        gateway.serve([Served(Backend(backend.url, engine), models)])
        async with front(gateway) as served:
            yield served, backend, gateway


def turns(count: int, text: str = LONG) -> list[dict[str, Any]]:
    asked = [{"role": "user", "content": f"{number} {text}"} for number in range(count)]
    history = [{"role": "assistant", "content": f"answer {number}"} for number in range(count)]
    return [message for pair in zip(asked, history, strict=True) for message in pair][:-1]


async def grow(served: Front, to: int, **fields: Any) -> str:
    """Ask one turn after the other, up to this many; return the last ``x-stoker-fit``."""
    header = ""
    for count in range(1, to + 1):
        reply = await served.chat(messages=turns(count), **fields)
        assert reply.status == 200, reply.body
        header = reply.headers.get("x-stoker-fit", "")
    return header


async def test_a_growing_conversation_is_never_counted_while_its_bound_fits() -> None:
    server = Counting()
    async with before(server) as (served, backend, _):
        header = await grow(served, 6, max_tokens=100)
        assert server.counted == 0
        before_it, _, most = header.split("; cached=")[0].partition("; tokens<=")
        assert before_it == "none"
        assert tokens_of(backend.calls[-1].body) <= int(most) < WINDOW - 100
        assert backend.calls[-1].body["messages"] == turns(6)
        assert backend.calls[-1].body["max_tokens"] == 100


async def test_what_was_added_is_counted_where_it_might_not_fit() -> None:
    server = Counting()
    async with before(server) as (served, backend, _):
        await grow(served, 6)
        reply = await served.chat(messages=turns(11))
        assert (reply.status, "tokens<=" in reply.headers["x-stoker-fit"]) == (200, False)
        assert server.counted > 0
        assert backend.calls[-1].body["messages"] == turns(11)


async def test_an_answers_limit_that_might_have_to_be_cut_is_counted_exactly() -> None:
    server = Counting()
    async with before(server) as (served, backend, _):
        await grow(served, 6)
        assert (await served.chat(messages=turns(6), max_tokens=WINDOW)).status == 200
        assert server.counted > 0
        used = tokens_of({"messages": turns(6)})
        assert backend.calls[-1].body["max_tokens"] == WINDOW - used


@pytest.mark.parametrize(
    "changed",
    [
        {"tools": [{"type": "function", "function": {"name": "look", "parameters": {}}}]},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"tool_choice": "none"},
        {"reasoning_effort": "high"},
    ],
)
async def test_another_prompt_of_the_same_messages_is_not_known(changed: dict[str, Any]) -> None:
    server = Counting()
    tools = [{"type": "function", "function": {"name": "read", "parameters": {}}}]
    async with before(server) as (served, _, _):
        await grow(served, 6, tools=tools)
        assert server.counted == 0
        await served.chat(messages=turns(6), **{"tools": tools, **changed})
        assert server.counted > 0


async def test_a_changed_beginning_is_not_known() -> None:
    server = Counting()
    async with before(server) as (served, _, _):
        await grow(served, 6)
        await served.chat(messages=[{"role": "system", "content": "Other."}, *turns(6)])
        assert server.counted > 0


async def test_nothing_is_known_of_an_engine_that_may_have_been_started_again() -> None:
    server = Counting()
    async with before(server) as (served, _, gateway):
        await grow(served, 6)
        (backend,) = gateway.pool.backends
        backend.recovered()
        await served.chat(messages=turns(6))
        assert server.counted > 0


async def test_a_server_that_may_report_a_part_of_the_prompt_is_not_believed() -> None:
    server = Counting()
    async with before(server, "sglang") as (served, _, _):
        await grow(served, 6)
        assert server.counted > 0


async def test_a_prompt_above_its_bound_is_reported_and_ends_the_belief(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Counting()
    async with before(server) as (served, _, _):
        await grow(served, 6)
        server.off = 9000
        await served.chat(messages=turns(6))
        server.off = 0
        assert "tokens was read as" in caplog.text
        assert server.counted == 0
        await served.chat(messages=turns(6))
        assert server.counted > 0
