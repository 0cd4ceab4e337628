"""LM Studio 0.4, by its published API; tested on a contract server.

Source: https://lmstudio.ai/docs/developer/rest. It has no way to count tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, openai
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
    """Only LM Studio lists the loaded instances of a model."""
    listed = (await http_json.get(http, backend, "/api/v1/models"))["models"]
    return all("loaded_instances" in model for model in listed)


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """It loads a model when it is asked for, so it is ready once it answers."""
    return await http_json.answers(http, backend, "/api/v1/models")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The language models, each with the context that it is loaded with, or else its longest."""
    listed = (await http_json.get(http, backend, "/api/v1/models"))["models"]
    return [_model(entry) for entry in listed if entry.get("type", "llm") == "llm"]


def _model(entry: Mapping[str, Any]) -> ServedModel:
    loaded = [i.get("config", {}).get("context_length") for i in entry["loaded_instances"]]
    parallel = [i.get("config", {}).get("parallel") for i in entry["loaded_instances"]]
    abilities = entry.get("capabilities") or {}
    tools: ToolSupport = "native" if abilities.get("trained_for_tool_use") else "none"
    return ServedModel(
        id=entry["key"],
        max_model_len=loaded[0] if loaded else entry.get("max_context_length"),
        tools=tools,
        vision=bool(abilities.get("vision")),
        parallel=next((n for n in parallel if isinstance(n, int)), None),
        quantization=(entry.get("quantization") or {}).get("name"),
    )


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """A model that is not loaded yet gets LM Studio's default context, which is 4,096 tokens."""
    listed = (await http_json.get(http, backend, "/api/v1/models"))["models"]
    return [
        f"{entry['key']} is not loaded: LM Studio loads it with 4,096 tokens unless you set "
        "another context length in its settings."
        for entry in listed
        if not entry["loaded_instances"] and entry.get("type", "llm") == "llm"
    ]


ENGINE = Engine(
    name=name,
    title="LM Studio",
    client=__name__,
    formats=("gguf",),
    local_file=lm_studio_file,
)
