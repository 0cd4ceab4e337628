"""TensorRT-LLM's ``trtllm-serve``, as documented for 1.0 (https://nvidia.github.io/TensorRT-LLM)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing, openai
from stoker.engines.base import Backend, Engine

if TYPE_CHECKING:
    import aiohttp

name = "tensorrt-llm"
VERSION_AT = "/version"
discover = openai.discover
count = openai.count
count_texts = openai.count_texts
adapt = openai.adapt
warnings = openai.warnings


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Its listing names the owner of the models."""
    return model_listing.owned_by(listing, "tensorrt_llm")


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """``/health`` answers 200 when the engine can be used."""
    return await http_json.answers(http, backend, "/health")


ENGINE = Engine(
    name=name,
    title="TensorRT-LLM",
    client=__name__,
)
