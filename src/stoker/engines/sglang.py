"""SGLang, as it is documented for 0.5 (https://docs.sglang.ai); tested on a contract server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing, openai
from stoker.engines.base import Backend, Engine, ServedModel

if TYPE_CHECKING:
    import aiohttp

name = "sglang"
VERSION_AT = "/get_server_info"
count_texts = openai.count_texts
adapt = openai.adapt
discover = openai.discover


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Its listing names the owner of the models."""
    return model_listing.owned_by(listing, "sglang")


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """``/health`` answers when the server does; whether it can generate costs a token to ask."""
    return await http_json.answers(http, backend, "/health")


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
    running_metric="sglang:num_running_reqs",
    # https://docs.sglang.ai/references/production_metrics.html
    kv_cache_metrics=("sglang:token_usage",),
)
