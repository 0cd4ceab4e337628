"""What is counted and cut, with nothing sent to a model: ``/fit``, ``/tokenize`` and the like."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from stoker.gateway.api import json_answers, request_validation
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext


async def fit(state: GatewayState, context: RequestContext) -> web.Response:
    """``POST /fit``: what would be cut of a chat request."""
    mark = state.owner_caches.mark(context.caller.owner)
    prepared = await state.shown_preparer(context.model).chats.prepare(context.body, mark=mark)
    return json_answers.ok(
        {
            "fit": prepared.header or "none",
            "prompt_tokens": prepared.prompt_tokens,
            "max_tokens": prepared.max_tokens,
            "cuts": asdict(prepared.cuts),
        }
    )


async def count_tokens(state: GatewayState, context: RequestContext) -> web.Response:
    """``POST /v1/messages/count_tokens``: the exact tokens of the prompt, with nothing cut."""
    return json_answers.ok({"input_tokens": await _prompt_tokens(state, context)})


async def input_tokens(state: GatewayState, context: RequestContext) -> web.Response:
    """``POST /v1/responses/input_tokens``: the same for a request of Responses."""
    count = await _prompt_tokens(state, context)
    return json_answers.ok({"object": "response.input_tokens", "input_tokens": count})


async def _prompt_tokens(state: GatewayState, context: RequestContext) -> int:
    return await state.shown_preparer(context.model).counter.count_request(context.body)


async def tokenize(state: GatewayState, context: RequestContext) -> web.Response:
    """``POST /tokenize``: exact counts of a prompt, a batch of prompts, or messages with tools."""
    counter, body = state.shown_preparer(context.model).counter, context.body
    window = context.model.max_model_len
    if "messages" in body:
        count = await counter.count_request(body)
        return json_answers.ok({"count": count, "max_model_len": window})
    counts = await counter.count_texts(request_validation.texts(body))
    if isinstance(body["prompt"], str):
        return json_answers.ok({"count": counts[0], "max_model_len": window})
    return json_answers.ok({"counts": list(counts), "max_model_len": window})
