"""SGLang, as it is documented for 0.5 (https://docs.sglang.ai); tested on a contract server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing, openai, server_tokenizer
from stoker.engines.base import Backend, Engine, InfillApi, InfillTokenizer, ServedModel
from stoker.engines.server_tokenizer import ServerTokenizer

if TYPE_CHECKING:
    import aiohttp

name = "sglang"
VERSION_AT = "/get_server_info"
count_texts = openai.count_texts
adapt = openai.adapt


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Its listing names the owner of the models."""
    return model_listing.owned_by(listing, "sglang")


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """``/health`` answers when the server does; whether it can generate costs a token to ask."""
    return await http_json.answers(http, backend, "/health")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models, with what the listing has of them, and whether their tokens have a form."""
    import asyncio  # noqa: PLC0415  (a plan asks no server)

    models = await openai.discover(http, backend)
    tokenizers = [await tokenizer(http, backend, model.id) for model in models]
    fills = await asyncio.gather(*map(server_tokenizer.fills_in, tokenizers))
    return [
        replace(model, fill_in_the_middle=each) for model, each in zip(models, fills, strict=True)
    ]


async def tokenizer(http: aiohttp.ClientSession, backend: Backend, model: str) -> InfillTokenizer:
    """Its ``/v1/tokenize``. It reads every name of a special token as that token.

    Source: python/sglang/srt/entrypoints/openai/serving_tokenize.py of sgl-project/sglang.
    """

    def body(text: str, _special: bool, begin: bool) -> Mapping[str, Any]:
        return {"model": model, "prompt": text, "add_special_tokens": begin}

    return ServerTokenizer(http, backend, "/v1/tokenize", body)


async def count(http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]) -> int:
    """Exact prompt tokens, from ``/v1/tokenize``."""
    wanted = ("model", "messages", "tools", "prompt")
    body = {field: request[field] for field in wanted if field in request}
    answer = await http_json.post(http, backend, "/v1/tokenize", body)
    return int(answer["count"])


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """Tools need a parser, as with vLLM."""
    if await model_listing.refuses_tools(http, backend, models):
        return ["SGLang runs without a tool parser: start it with --tool-call-parser."]
    return []


ENGINE = Engine(
    name=name,
    title="SGLang",
    client=__name__,
    # Its completions take ids, and this field (entrypoints/openai/protocol.py).
    infill=InfillApi(tokenizer=tokenizer, takes_ids=True, stop_ids_field="stop_token_ids"),
    running_metric="sglang:num_running_reqs",
    # https://docs.sglang.ai/references/production_metrics.html
    kv_cache_metrics=("sglang:token_usage",),
)
