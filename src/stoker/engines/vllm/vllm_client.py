"""How a running vLLM is asked about itself. Its endpoints are those of 0.10 to 0.32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing
from stoker.engines.base import Backend, ServedModel

if TYPE_CHECKING:
    import aiohttp

name = "vllm"
VERSION_AT = "/version"


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Its listing names the owner of the models."""
    return model_listing.owned_by(listing, "vllm")


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """Tools are refused unless vLLM was started with a parser for them."""
    if await model_listing.refuses_tools(http, backend, models):
        return [
            "vLLM runs without a tool parser, so Stoker offers tools in the prompt. For calls in "
            "the model's own form start it with --enable-auto-tool-choice --tool-call-parser NAME."
        ]
    return []


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """vLLM listens only when it can answer; ``/health`` then asks the engine process."""
    return await http_json.answers(http, backend, "/health")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models, with the context of one request.

    Whether tools work is a matter of launch flags that vLLM does not report: ``tools`` stays
    unknown here, and a check finds out.
    """
    listing = await http_json.get(http, backend, "/v1/models")
    return [
        ServedModel(id=entry["id"], max_model_len=entry.get("max_model_len"))
        for entry in listing["data"]
    ]


async def count(http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]) -> int:
    """Exact prompt tokens, from ``/tokenize`` with the same messages, tools and template."""
    wanted = ("model", "messages", "tools", "chat_template_kwargs", "prompt")
    body = {name: request[name] for name in wanted if name in request}
    answer = await http_json.post(http, backend, "/tokenize", body)
    return int(answer["count"])


async def count_texts(
    http: aiohttp.ClientSession, backend: Backend, model: str, texts: Sequence[str]
) -> Sequence[int]:
    """One call of ``/tokenize`` for each text: it takes one at a time."""
    bodies = ({"model": model, "prompt": text, "add_special_tokens": False} for text in texts)
    answers = [await http_json.post(http, backend, "/tokenize", body) for body in bodies]
    return [int(answer["count"]) for answer in answers]


def adapt(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """vLLM's requests are OpenAI's."""
    return request
