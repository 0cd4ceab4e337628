"""The row of stages: in order, one line for a new one, and every path about a model passes it."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from aiohttp import web
from tests.unit.gateway.backends import MODEL, Call, answer, front, gateway_with, running

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served, pipeline
from stoker.gateway.api import openai_errors
from stoker.gateway.api.path_rules import BACKEND_PATHS, PATH_RULES
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.relay.client_writer import ClientWriter
from stoker.gateway.request_context import Handler, RequestContext

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


async def whole(call: Call) -> None:
    """An answer of 5 tokens that every path's client can read."""
    usage = {"prompt_tokens": 2, "completion_tokens": 3}
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.send(answer(orjson.dumps({"choices": [choice], "usage": usage})))


class TokenAllowance:
    """A stage of another package: a client that has used 5 tokens gets no more."""

    def __init__(self, state: GatewayState) -> None:
        self._used: dict[str, int] = {}

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        if self._used.get(context.caller.owner, 0) >= 5:
            return openai_errors.busy(retry_after_s=60)
        response = await proceed(context)
        usage = context.answer and context.answer.report.usage
        if usage:
            self._used[context.caller.owner] = usage["prompt_tokens"] + usage["completion_tokens"]
        return response


#: The row with one more line.
WITH_ALLOWANCE = (*pipeline.MODEL_REQUEST, TokenAllowance)


@pytest.mark.parametrize("path", BACKEND_PATHS)
async def test_new_stage_sees_request_and_answer_of_every_path(path: str) -> None:
    body = orjson.dumps({"model": MODEL, "prompt": "hi", "input": "hi", **CHAT})
    async with gateway_with(whole, model_request=WITH_ALLOWANCE) as (served, (backend,)):
        assert (await served.post(body, path)).status == 200
        refused = await served.post(body, path)
        assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
        assert len(backend.calls) == 1


async def test_stage_of_one_gateway_knows_nothing_of_another() -> None:
    async with running(whole) as (backend,):
        for _ in range(2):
            gateway = Gateway(model_request=WITH_ALLOWANCE)
            gateway.serve([Served(Backend(backend.url, "openai"), [ServedModel(MODEL)])])
            async with front(gateway) as served:
                assert (await served.chat()).status == 200


def test_every_path_that_a_backend_answers_has_its_rules() -> None:
    assert PATH_RULES.keys() >= set(BACKEND_PATHS)


async def test_stages_run_in_the_order_of_the_row() -> None:
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self._name = name

        async def __call__(
            self, context: RequestContext, proceed: Handler, /
        ) -> web.StreamResponse:
            order.append(f"{self._name} before")
            response = await proceed(context)
            order.append(f"{self._name} after")
            return response

    async def last(context: RequestContext) -> web.StreamResponse:
        order.append("last")
        return web.Response()

    request: web.Request = object()  # type: ignore[assignment]  # no stage looks at it
    await pipeline.chained([Named("a"), Named("b")], last)(RequestContext(request))
    assert order == ["a before", "b before", "last", "b after", "a after"]


async def test_refusal_while_preparing_gives_the_slot_back() -> None:
    too_long = {"messages": [{"role": "user", "content": "x" * 100_000}]}

    async def counts(call: Call) -> None:
        count = 10 + len(str(call.body["messages"])) // 4
        await call.send(answer(orjson.dumps({"count": count})))

    async with running(counts) as (backend,):
        gateway = Gateway()
        model = ServedModel(MODEL, max_model_len=2048)
        gateway.serve([Served(Backend(backend.url, "sglang"), [model], max_concurrent=1)])
        async with front(gateway) as served:
            for _ in range(3):  # a slot that was kept would let the next one wait
                reply = await asyncio.wait_for(served.chat(**too_long), 10)
                assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
            assert gateway.pool.backends[0].in_flight == 0


class SlowClient(asyncio.Transport):
    """A transport whose client reads nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 1 << 20


class Reading:
    """A backend's connection: whether it is read from."""

    def __init__(self) -> None:
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


async def test_connection_of_an_answer_that_ended_before_its_slow_client_is_read_again() -> None:
    connection = Reading()
    writer = ClientWriter(connection)
    writer.attach(SlowClient(), chunked=True)
    writer.write(b"data: {}\n\n")
    assert connection.paused
    writer.end()
    assert not connection.paused, "the next request on it would never be answered"
