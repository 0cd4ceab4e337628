"""The limits of keys and models, at the gateway: what is refused, reported and corrected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
from tests.unit.gateway.backends import (
    MODEL,
    STREAM,
    Call,
    Front,
    Reply,
    Scenario,
    Scripted,
    answer,
    chunk,
    event,
    gateway_with,
    usage,
    wait_for,
)

from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller, CallerLimits
from stoker.gateway.limiting.limit_plans import LimitPlans, LimitRule
from stoker.gateway.limiting.request_tokens import RequestTokens

ANN = {"Authorization": "Bearer ann-key"}
BOB = {"x-api-key": "bob-key"}
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}


async def whole(call: Call) -> None:
    """An answer that took 10 tokens."""
    counted = {"prompt_tokens": 7, "completion_tokens": 3}
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await call.send(answer(orjson.dumps({"choices": [choice], "usage": counted})))


async def streamed(call: Call) -> None:
    """A streamed answer that took 10 tokens."""
    await call.stream(event("hi"), usage(), b"data: [DONE]\n\n")


async def breaks_off(call: Call) -> None:
    """Four events of a stream, and then no more."""
    await call.send(STREAM, *(chunk(event("word ")) for _ in range(4)))
    call.die()


async def fails(call: Call) -> None:
    """No answer at all."""
    await call.send(answer(b"{}", status=500))


@contextlib.asynccontextmanager
async def limited_gateway(
    *scenarios: Scenario, **limits: int
) -> AsyncIterator[tuple[Front, list[Scripted]]]:
    """A gateway with two keys, of which Ann's has limits."""
    ann = Caller("ann", "k1", limits=CallerLimits(**limits))
    keys = Keys({hash_of("ann-key"): ann, hash_of("bob-key"): Caller("bob", "k2")})
    async with gateway_with(*scenarios, keys=keys) as made:
        yield made


async def ask(
    served: Front,
    headers: dict[str, str] = ANN,
    path: str = "/v1/chat/completions",
    **fields: object,
) -> Reply:
    body = orjson.dumps({**CHAT, "prompt": "hi", "input": "hi", **fields})
    return await served.post(body, path, headers)


async def tokens_left(served: Front) -> int:
    """What the next answer reports as left, before its own reservation is corrected."""
    plan = served.gateway.limiter.plans.of(
        Caller("ann", "k1", limits=CallerLimits(tokens_per_minute=10_000)), MODEL
    )
    reservation = await served.gateway.limiter.reserve(plan, RequestTokens(0, 0))
    served.gateway.limiter.settle(reservation, RequestTokens(0, 0))
    return 10_000 - reservation.outcome.uses[0].total


async def test_caller_that_reached_its_limit_is_refused_and_no_other() -> None:
    async with limited_gateway(whole, requests_per_minute=2) as (served, (backend,)):
        assert [(await ask(served)).status for _ in range(3)] == [200, 200, 429]
        assert (await ask(served, BOB)).status == 200
        assert len(backend.calls) == 3


async def test_refusal_is_in_openais_form_with_the_time_to_wait() -> None:
    async with limited_gateway(whole, requests_per_minute=1) as (served, _):
        first, refused = await ask(served), await ask(served)
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert 60 <= int(refused.headers["Retry-After"]) <= 61
        assert refused.headers["x-ratelimit-limit-requests"] == "1"
        async with served.http.get(served.url + "/metrics", headers=ANN) as response:
            metrics = await response.text()
        assert 'stoker_requests_refused_total{code="rate_limit_exceeded"} 1.0' in metrics


async def test_refusal_is_in_anthropics_form_where_its_api_was_asked() -> None:
    async with limited_gateway(whole, tokens_per_day=5) as (served, _):
        assert (await ask(served, path="/v1/messages")).status == 200
        refused = await ask(served, path="/v1/messages")
        assert refused.status == 429
        assert orjson.loads(refused.body)["error"]["type"] == "rate_limit_error"
        assert refused.headers["anthropic-ratelimit-tokens-limit"] == "5"
        assert refused.headers["anthropic-ratelimit-tokens-reset"].endswith("T00:00:00Z")
        assert not any(name.startswith("x-ratelimit") for name in refused.headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_are_counted_as_the_answer_reports_them(stream: bool) -> None:
    scenario = streamed if stream else whole
    async with limited_gateway(scenario, tokens_per_minute=10_000) as (served, _):
        reply = await ask(served, stream=stream)
        assert reply.status == 200
        assert int(reply.headers["x-ratelimit-remaining-tokens"]) < 9_900, "an upper bound"
        assert await tokens_left(served) == 9_990


async def test_stream_that_breaks_off_counts_its_prompt_and_a_token_for_each_event() -> None:
    async with limited_gateway(breaks_off, tokens_per_minute=10_000) as (served, _):
        assert (await ask(served, stream=True)).status == 200
        assert 9_940 < await tokens_left(served) < 9_980, "its bytes by 4, and its events"


async def test_client_that_leaves_its_stream_is_charged_for_what_it_got() -> None:
    async def goes_on(call: Call) -> None:
        await call.send(STREAM, *(chunk(event("word ")) for _ in range(4)))
        await asyncio.sleep(60)

    async with limited_gateway(goes_on, max_concurrent=1, tokens_per_minute=10_000) as made:
        served, (backend,) = made
        body = orjson.dumps({**CHAT, "stream": True})
        url = served.url + "/v1/chat/completions"
        async with served.http.post(url, data=body, headers=ANN) as response:
            await response.content.readany()
            assert (await ask(served)).status == 429, "one at a time"
        await asyncio.wait_for(backend.left.wait(), 3)
        await wait_for(lambda: not served.gateway.limiter.under_way)
        assert 9_940 < await tokens_left(served) < 9_980


async def test_client_that_leaves_before_its_answer_has_used_its_share_of_the_backend() -> None:
    async def silent(call: Call) -> None:
        await asyncio.sleep(60)

    async with limited_gateway(silent) as (served, (backend,)):
        chat = [{"role": "user", "content": "word " * 1000}]
        asking = asyncio.create_task(ask(served, messages=chat))
        await wait_for(lambda: bool(backend.calls))
        asking.cancel()
        await asyncio.wait_for(backend.left.wait(), 3)
        await wait_for(lambda: served.gateway.slots._shares.mark("ann") > 1000)


async def test_request_that_no_backend_answered_takes_no_tokens() -> None:
    async with limited_gateway(fails, tokens_per_minute=10_000) as (served, _):
        assert (await ask(served)).status == 500
        assert await tokens_left(served) == 10_000


async def test_request_that_a_second_backend_answers_is_charged_once() -> None:
    limits = {"tokens_per_minute": 10_000, "requests_per_minute": 2}
    async with limited_gateway(fails, whole, **limits) as (served, backends):
        for _ in range(2):
            assert (await ask(served)).status == 200
        assert sum(len(backend.calls) for backend in backends) > 2, "one was tried again"
        assert await tokens_left(served) == 9_980
        assert (await ask(served)).status == 429


async def test_prompt_is_counted_where_its_upper_bound_is_too_much() -> None:
    async with limited_gateway(whole, tokens_per_minute=1_000) as (served, _):
        text = "word " * 500  # 2,500 bytes, about 625 tokens
        chat = [{"role": "user", "content": text}]
        assert (await ask(served, messages=chat)).status == 200
        refused = await ask(served, messages=[{"role": "user", "content": text * 4}])
        assert (refused.status, refused.error["code"]) == (413, "larger_than_limit")
        assert "Retry-After" not in refused.headers, "SDKs send no 413 again"
        assert "Send a shorter prompt" in refused.error["message"]


async def test_prompt_that_will_be_cut_is_never_larger_than_the_window() -> None:
    async with limited_gateway(whole, tokens_per_minute=8_250) as (served, _):
        assert (await ask(served)).status == 200
        chat = [{"role": "user", "content": "word " * 20_000}]
        refused = await ask(served, messages=chat)
        assert refused.status == 429, "it fits later"


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/embeddings", "/v1/responses", "/infill"])
async def test_limits_hold_at_every_path(path: str) -> None:
    async with limited_gateway(whole, tokens_per_minute=10_000) as (served, _):
        assert (await ask(served, path=path)).status == 200
        assert await tokens_left(served) == 9_990


async def test_counting_paths_are_free() -> None:
    async with limited_gateway(whole, requests_per_minute=1) as (served, _):
        for _ in range(3):
            assert (await ask(served, path="/fit")).status == 200


async def test_rule_of_the_configuration_limits_a_model_from_now_on() -> None:
    async with limited_gateway(whole) as (served, _):
        reply = await ask(served)
        assert not any("ratelimit" in name.lower() for name in reply.headers)
        rule = LimitRule(CallerLimits(requests_per_minute=1), model=MODEL, per_owner=False)
        served.gateway.limiter.plans = LimitPlans([rule])
        assert [(await ask(served, who)).status for who in (ANN, BOB)] == [200, 429]
