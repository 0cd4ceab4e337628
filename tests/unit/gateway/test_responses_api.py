"""``/v1/responses`` through the gateway, in front of servers that know chats only."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import (
    DONE,
    MODEL,
    STREAM,
    Call,
    Front,
    Reply,
    Scenario,
    answer,
    chunk,
    event,
    gateway_with,
    usage,
)
from tests.unit.gateway.test_prompt_fitter import WINDOW, Counting, fitting_to

Body = dict[str, Any]

PATH = "/v1/responses"
COUNT_PATH = f"{PATH}/input_tokens"
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
TEXT = [event("Hel"), event("lo"), FINISH, usage(), DONE]


async def ask(front: Front, **fields: Any) -> Reply:
    return await front.post(orjson.dumps({"model": MODEL, "input": "hi", **fields}), PATH)


def events(body: bytes) -> list[Body]:
    """The events of a stream, each under its own name."""
    assert b"[DONE]" not in body
    found = []
    for block in body.decode().removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append(orjson.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def sends(*parts: bytes) -> Scenario:
    async def scenario(call: Call) -> None:
        await call.stream(*parts)

    return scenario


def answers_with(message: Body) -> Scenario:
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    counts = {"prompt_tokens": 7, "completion_tokens": 3}

    async def scenario(call: Call) -> None:
        await call.send(answer(orjson.dumps({"choices": [choice], "usage": counts})))

    return scenario


async def test_a_request_reaches_the_server_as_a_chat_and_is_accounted_under_its_own_path() -> None:
    async with gateway_with(sends(*TEXT)) as (front, (backend,)):
        reply = await ask(front, stream=True, instructions="Be brief.", max_output_tokens=9)
        metrics = await front.metrics()
    (call,) = backend.calls
    assert call.path == "/v1/chat/completions"
    assert call.body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert call.body["max_tokens"] == 9
    assert call.body["stream_options"] == {"include_usage": True}
    last = events(reply.body)[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["usage"]["total_tokens"] == 10
    assert f'stoker_requests_total{{model="{MODEL}",path="{PATH}",status="200"}} 1.0' in metrics
    assert f'stoker_tokens_total{{kind="prompt_tokens",model="{MODEL}"}} 7.0' in metrics


async def test_a_whole_answer_is_a_response() -> None:
    async with gateway_with(answers_with({"role": "assistant", "content": "Hello"})) as (front, _):
        response = orjson.loads((await ask(front)).body)
    assert (response["object"], response["status"]) == ("response", "completed")
    assert response["output"][0]["content"][0]["text"] == "Hello"
    assert response["usage"]["input_tokens"] == 7


async def test_a_call_that_a_model_without_tools_writes_as_text_is_a_call() -> None:
    text = '<tool_call>{"name": "weather", "arguments": {"city": "x"}}</tool_call>'
    scenario = sends(event(text), FINISH, usage(), DONE)
    async with gateway_with(scenario, tools="none") as (front, (backend,)):
        reply = await ask(front, stream=True, tools=[WEATHER, {"type": "web_search"}])
    assert "tools" not in backend.calls[0].body
    assert "ignored=web_search" in reply.headers["x-stoker-fit"]
    (call,) = events(reply.body)[-1]["response"]["output"]
    assert (call["type"], call["name"]) == ("function_call", "weather")
    assert orjson.loads(call["arguments"]) == {"city": "x"}


async def test_the_probabilities_of_tokens_come_with_the_text_and_in_its_item() -> None:
    token = {"token": "Hel", "logprob": -0.5, "bytes": [72], "top_logprobs": []}
    first = {"index": 0, "delta": {"content": "Hel"}, "logprobs": {"content": [token]}}
    scenario = sends(event(choices=[first]), FINISH, DONE)
    async with gateway_with(scenario) as (front, (backend,)):
        wanted = ["message.output_text.logprobs"]
        reply = await ask(front, stream=True, include=wanted, top_logprobs=1)
    assert backend.calls[0].body["top_logprobs"] == 1
    found = events(reply.body)
    (delta,) = [e for e in found if e["type"] == "response.output_text.delta"]
    assert delta["logprobs"] == [token]
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == [token]


async def breaks_off(call: Call) -> None:
    await call.send(STREAM, chunk(event("Hel")))
    call.die()


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        (breaks_off, "broke off before the answer was complete"),
        (sends(event("Hel")), "ended the answer before it was complete"),
        (sends(event("Hel"), b'data: {"error":{"message":"out of memory"}}\n\n'), "out of memory"),
    ],
    ids=["breaks off", "ends", "reports an error"],
)
async def test_a_stream_that_fails_ends_with_its_reason_and_keeps_its_text(
    scenario: Scenario, expected: str
) -> None:
    async with gateway_with(scenario) as (front, _):
        reply = await ask(front, stream=True)
    last = events(reply.body)[-1]
    assert last["type"] == "response.failed"
    assert expected in last["response"]["error"]["message"]
    assert last["response"]["output"][0]["content"][0]["text"] == "Hel"


async def test_a_prompt_that_is_too_long_is_cut_as_in_a_chat() -> None:
    turns = [{"role": role, "content": "word " * 700} for role in ("user", "assistant") * 3]
    async with fitting_to(Counting()) as (front, backend):
        reply = await ask(front, input=[*turns, {"role": "user", "content": "hi"}])
    assert reply.status == 200
    assert "messages=-" in reply.headers["x-stoker-fit"]
    sent = backend.calls[-1].body["messages"]
    assert sum(len(each["content"]) for each in sent) < sum(len(each["content"]) for each in turns)


async def test_a_client_that_forbids_cutting_gets_an_error_in_its_place() -> None:
    turns = [{"role": role, "content": "word " * 700} for role in ("user", "assistant") * 3]
    async with fitting_to(Counting()) as (front, _):
        reply = await ask(front, input=turns, truncation="disabled")
        fitting = await ask(front, truncation="disabled")
    assert (reply.status, fitting.status) == (400, 200)
    assert reply.error["code"] == "context_length_exceeded"
    assert f"maximum context length is {WINDOW} tokens" in reply.error["message"]


async def test_a_question_that_no_cut_makes_fit_is_refused_in_words_that_clients_know() -> None:
    async with fitting_to(Counting()) as (front, _):
        error = (await ask(front, input="word " * 3000)).error
    assert (error["code"], error["param"]) == ("context_length_exceeded", "input")
    assert f"maximum context length is {WINDOW} tokens" in error["message"]


async def test_a_request_is_counted_before_as_its_answer_counts_it() -> None:
    request = {"model": MODEL, "instructions": "be brief", "input": "word " * 500}
    async with fitting_to(Counting()) as (front, backend):
        counted = await front.post(orjson.dumps(request), COUNT_PATH)
        refused = await front.post(orjson.dumps({**request, "input": 1}), COUNT_PATH)
        assert not any(call.path == "/v1/chat/completions" for call in backend.calls)
        answered = orjson.loads((await front.post(orjson.dumps(request), PATH)).body)
    tokens = answered["usage"]["input_tokens"]
    assert tokens > 500
    assert orjson.loads(counted.body) == {"object": "response.input_tokens", "input_tokens": tokens}
    assert (refused.status, refused.error["param"]) == (400, "input")


async def test_an_error_names_the_field_of_this_api() -> None:
    async with gateway_with(sends()) as (front, (backend,)):
        error = (await ask(front, previous_response_id="resp_1")).error
    assert not backend.calls
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "previous_response_not_found"
    assert error["param"] == "previous_response_id"
