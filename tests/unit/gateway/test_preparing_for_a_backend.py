"""A request is prepared for the backend that it is sent to, each time that it is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
import pytest
from tests.unit.gateway.backends import (
    MODEL,
    Call,
    Front,
    Scripted,
    answer,
    front,
    running,
    wait_for,
)

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served

TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}
CALL_IN_TEXT = '<tool_call>{"name": "look", "arguments": {"path": "a"}}</tool_call>'
#: Where each engine counts a chat.
COUNT_PATHS = ("/v1/chat/completions/input_tokens", "/v1/tokenize")
LARGE, SMALL = 32768, 2048


def tokens_of(body: dict[str, Any]) -> int:
    """A token for each word and 10 for each message."""
    return sum(10 + len(str(message["content"]).split()) for message in body["messages"])


@dataclass
class Engine:
    """A scripted server: counts a token for each word, and answers or fails as it is told."""

    text: str = "hi"
    status: int = 200
    count_status: int = 200
    hold: asyncio.Event | None = None
    chats: list[dict[str, Any]] = field(default_factory=list)
    counted: int = 0

    async def __call__(self, call: Call) -> None:
        if call.path in COUNT_PATHS:
            self.counted += 1
            count = tokens_of(call.body)
            counts = orjson.dumps({"count": count, "input_tokens": count})
            await call.send(answer(counts, status=self.count_status))
            return
        self.chats.append(call.body)
        if self.hold is not None:
            await self.hold.wait()
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": tokens_of(call.body), "completion_tokens": 1}
        body = orjson.dumps({"choices": [choice], "usage": usage})
        await call.send(answer(body, status=self.status))


@dataclass
class Kind:
    """One backend of the model as the gateway knows it."""

    engine: Engine
    name: str
    window: int = 8192
    tools: Literal["native", "none"] = "native"
    limit: int | None = None
    vision: bool | None = None

    def served(self, backend: Scripted) -> Served:
        model = ServedModel(MODEL, max_model_len=self.window, tools=self.tools, vision=self.vision)
        return Served(Backend(backend.url, self.name), [model], max_concurrent=self.limit)


@contextlib.asynccontextmanager
async def before(*kinds: Kind) -> AsyncIterator[Front]:
    """The gateway in front of these backends, all of which serve one model."""
    async with running(*(kind.engine for kind in kinds)) as backends:
        gateway = Gateway()
        gateway.serve([k.served(b) for k, b in zip(kinds, backends, strict=True)])
        async with front(gateway) as served:
            yield served
            assert all(u.in_flight == 0 for u in gateway.pool.backends)


async def occupy(served: Front, engine: Engine) -> asyncio.Task[Any]:
    """Fill the one place of the backend that a first request goes to."""
    engine.hold = asyncio.Event()
    task = asyncio.create_task(served.chat(messages=[{"role": "user", "content": "first"}]))
    await wait_for(lambda: bool(engine.chats))
    return task


async def release(engine: Engine, task: asyncio.Task[Any]) -> None:
    assert engine.hold is not None
    engine.hold.set()
    assert (await task).status == 200


def words(number: int, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": "word " * number}


def conversation(turns: int, each: int = 300) -> list[dict[str, Any]]:
    """Turns that may be cut, and a last question that may not."""
    pairs = [words(each), {"role": "assistant", "content": "a"}]
    return [*pairs * turns, {"role": "user", "content": "end"}]


async def test_request_that_a_busy_llama_cpp_did_not_get_is_in_the_form_of_vllm() -> None:
    llama, vllm = Engine(), Engine()
    async with before(Kind(llama, "llama.cpp", limit=1), Kind(vllm, "vllm")) as served:
        first = await occupy(served, llama)
        assert (await served.chat(tools=[TOOL], tool_choice="required")).status == 200
        await release(llama, first)
    (sent,) = vllm.chats
    assert sent["tool_choice"] == "required"
    assert "response_format" not in sent


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_retry_is_prepared_again_for_the_backend_that_gets_it(status: int) -> None:
    llama, vllm = Engine(status=status), Engine()
    async with before(Kind(llama, "llama.cpp"), Kind(vllm, "vllm")) as served:
        assert (await served.chat(tools=[TOOL], tool_choice="required")).status == 200
    assert llama.chats[0]["tool_choice"] == "none"
    assert "response_format" in llama.chats[0]
    assert vllm.chats[0]["tool_choice"] == "required"
    assert "response_format" not in vllm.chats[0]


async def test_prompt_that_fits_one_window_is_cut_for_the_smaller_one_only() -> None:
    large, small = Engine(status=503), Engine()
    async with before(Kind(large, "sglang", LARGE), Kind(small, "sglang", SMALL)) as served:
        asked = conversation(turns=8)
        reply = await served.chat(messages=asked)
        assert reply.status == 200
        assert "x-stoker-fit" in reply.headers
    assert large.chats[0]["messages"] == asked
    assert tokens_of(small.chats[0]) < SMALL < tokens_of({"messages": asked})


async def test_prompt_is_not_cut_for_a_window_that_another_backend_has() -> None:
    small, large = Engine(status=503), Engine()
    async with before(Kind(small, "sglang", SMALL), Kind(large, "sglang", LARGE)) as served:
        asked = conversation(turns=8)
        reply = await served.chat(messages=asked)
        assert (reply.status, "x-stoker-fit" in reply.headers) == (200, False)
    assert len(small.chats[0]["messages"]) < len(asked)
    assert large.chats[0]["messages"] == asked


async def test_message_too_long_for_one_window_goes_to_a_larger_one() -> None:
    small, large = Engine(), Engine()
    async with before(Kind(small, "sglang", SMALL), Kind(large, "sglang", LARGE)) as served:
        assert (await served.chat(messages=[words(5000)])).status == 200
    assert not small.chats
    assert tokens_of(large.chats[0]) == 5010


async def test_message_too_long_for_every_window_is_refused_with_the_largest() -> None:
    engines = [Engine(), Engine(), Engine()]
    windows = (SMALL, SMALL, 4096)
    kinds = [Kind(e, "sglang", w) for e, w in zip(engines, windows, strict=True)]
    async with before(*kinds) as served:
        reply = await served.chat(messages=[words(5000)])
        assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        assert "4096" in reply.error["message"]
    assert not any(engine.chats for engine in engines)
    assert not engines[1].counted, "an equal window was counted for in vain"


async def test_failure_is_reported_where_the_only_other_window_is_too_small() -> None:
    large, small = Engine(status=503), Engine()
    async with before(Kind(large, "sglang", LARGE), Kind(small, "sglang", SMALL)) as served:
        assert (await served.chat(messages=[words(5000)])).status == 503
    assert not small.chats


async def test_tools_are_written_into_the_prompt_only_where_the_backend_has_none() -> None:
    emulated, native = Engine(text=CALL_IN_TEXT), Engine()
    kinds = Kind(emulated, "openai", tools="none", limit=1), Kind(native, "openai")
    async with before(*kinds) as served:
        reply = await served.chat(tools=[TOOL])
        (call,) = orjson.loads(reply.body)["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "look"
        assert "tools" not in emulated.chats.pop()
        first = await occupy(served, emulated)
        assert (await served.chat(tools=[TOOL])).status == 200
        await release(emulated, first)
    assert native.chats[0]["tools"] == [TOOL]


async def test_answer_is_rewritten_by_what_was_prepared_for_its_backend() -> None:
    failing, answering = Engine(status=503, text=CALL_IN_TEXT), Engine(text=CALL_IN_TEXT)
    async with before(Kind(failing, "openai"), Kind(answering, "openai", tools="none")) as served:
        reply = await served.chat(tools=[TOOL])
        (call,) = orjson.loads(reply.body)["choices"][0]["message"]["tool_calls"]
        assert call["function"]["name"] == "look"
        assert "stoker_tool_calls_found_total" in await served.metrics()
        assert f'stoker_tool_calls_found_total{{model="{MODEL}"}} 1.0' in await served.metrics()


async def test_queued_request_is_prepared_for_the_backend_that_it_gets() -> None:
    llama, vllm = Engine(), Engine()
    kinds = Kind(llama, "llama.cpp", limit=1), Kind(vllm, "vllm", limit=1)
    async with before(*kinds) as served:
        first = await occupy(served, llama)
        second = await occupy(served, vllm)
        asking = asyncio.create_task(served.chat(tools=[TOOL], tool_choice="required"))
        await wait_for(lambda: served.gateway.slots.waiting == 1)
        assert vllm.hold is not None
        vllm.hold.set()
        assert (await asking).status == 200
        assert (await second).status == 200
        await release(llama, first)
    assert vllm.chats[-1]["tool_choice"] == "required"


async def test_another_backend_is_tried_where_one_fails_to_count() -> None:
    failing, counting = Engine(count_status=503), Engine()
    kinds = Kind(failing, "sglang", SMALL), Kind(counting, "sglang", SMALL)
    async with before(*kinds) as served:
        reply = await served.chat(messages=conversation(turns=8))
        assert (reply.status, "x-stoker-fit" in reply.headers) == (200, True)
    assert failing.counted
    assert not failing.chats


async def test_nothing_is_counted_where_the_prompt_surely_fits() -> None:
    failing, answering = Engine(status=503), Engine()
    async with before(Kind(failing, "sglang"), Kind(answering, "sglang", LARGE)) as served:
        assert (await served.chat()).status == 200
    assert (failing.counted, answering.counted) == (0, 0)


async def test_image_goes_to_the_backend_that_reads_images() -> None:
    blind, seeing = Engine(), Engine()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    kinds = Kind(blind, "openai", vision=False), Kind(seeing, "openai", vision=True)
    async with before(*kinds) as served:
        messages = [{"role": "user", "content": [image]}]
        assert (await served.chat(messages=messages)).status == 200
    assert not blind.chats
    assert seeing.chats[0]["messages"] == messages
