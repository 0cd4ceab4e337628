"""LM Studio 0.3 and 0.4, by its published API; tested on a contract server.

Source: https://lmstudio.ai/docs/developer/rest. It has no way to count tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing, openai
from stoker.engines.base import Backend, Engine, ServedModel, ToolSupport
from stoker.models import lm_studio_file

if TYPE_CHECKING:
    import aiohttp

name = "lm-studio"
VERSION_AT = None
count = openai.count
count_texts = openai.count_texts
adapt = openai.adapt


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Only LM Studio lists the loaded instances of a model, or in 0.3 the state of each."""
    listed = await _listed(http, backend)
    return all("loaded_instances" in model or "state" in model for model in listed)


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """It loads a model when it is asked for, so it is ready once it answers."""
    return await http_json.answers(http, backend, "/v1/models")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models, each with the context that it is loaded with, or else its longest."""
    return [_model(entry) for entry in await _listed(http, backend)]


async def _listed(http: aiohttp.ClientSession, backend: Backend) -> list[Mapping[str, Any]]:
    """The models of 0.4, else those of 0.3: https://lmstudio.ai/docs/developer/rest/endpoints"""
    import aiohttp  # noqa: PLC0415

    try:
        listed = (await http_json.get(http, backend, "/api/v1/models"))["models"]
    except (aiohttp.ClientResponseError, LookupError, TypeError, ValueError):
        listed = model_listing.entries(await http_json.get(http, backend, "/api/v0/models"))
        if not listed:
            raise
    return list(listed)


def _model(entry: Mapping[str, Any]) -> ServedModel:
    loaded = [each.get("config") or {} for each in entry.get("loaded_instances") or ()]
    parallel = [config.get("parallel") for config in loaded]
    contexts = [model_listing.window(config) for config in loaded]
    quantization = entry.get("quantization")
    return ServedModel(
        id=_name(entry),
        max_model_len=next(iter(contexts), None) or model_listing.window(entry),
        tools=_tools(entry),
        vision=entry.get("type") == "vlm" or _has(entry, "vision"),
        chat=openai.chats(entry),
        parallel=next((n for n in parallel if isinstance(n, int)), None),
        quantization=quantization.get("name") if isinstance(quantization, dict) else quantization,
    )


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("key") or entry["id"])


def _has(entry: Mapping[str, Any], ability: str) -> bool:
    """Abilities are an object in 0.4, and a list in 0.3."""
    abilities = entry.get("capabilities") or {}
    return bool(abilities.get(ability)) if isinstance(abilities, Mapping) else ability in abilities


def _tools(entry: Mapping[str, Any]) -> ToolSupport:
    return "native" if _has(entry, "trained_for_tool_use") or _has(entry, "tool_use") else "none"


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """A model that is not loaded yet gets LM Studio's default context, which is 4,096 tokens."""
    return [
        f"{_name(entry)} is not loaded: LM Studio loads it with 4,096 tokens unless you set "
        "another context length in its settings."
        for entry in await _listed(http, backend)
        if not _is_loaded(entry) and openai.chats(entry) is not False
    ]


def _is_loaded(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("loaded_instances")) or entry.get("state") == "loaded"


ENGINE = Engine(
    name=name,
    title="LM Studio",
    client=__name__,
    formats=("gguf",),
    local_file=lm_studio_file,
)
