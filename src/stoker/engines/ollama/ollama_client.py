"""Ollama 0.5 and later, by its published API; tested on a contract server.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md. On ``/v1`` the context is what the
model was loaded with, ``num_ctx`` in a request is ignored, and a longer prompt is cut silently.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, openai
from stoker.engines.base import Backend, ServedModel, ToolSupport

if TYPE_CHECKING:
    import aiohttp

name = "ollama"
VERSION_AT = "/api/version"
count = openai.count
count_texts = openai.count_texts
adapt = openai.adapt

#: The context that Ollama loads a model with by default, on a machine with less than 24 GiB of GPU
#: memory: https://docs.ollama.com/context-length
DEFAULT_CONTEXT_TOKENS = 4096

#: Requests that Ollama works on at the same time unless OLLAMA_NUM_PARALLEL is set higher:
#: https://docs.ollama.com/faq (it does not report the setting).
_PARALLEL = 1


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Only Ollama lists what is loaded at ``/api/ps``."""
    return "models" in await http_json.get(http, backend, "/api/ps")


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """It loads a model when it is asked for, so it is ready once it answers."""
    return await http_json.answers(http, backend, "/api/version")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models on its disk, each with the context that it has or would be loaded with."""
    loaded = await http_json.get(http, backend, "/api/ps")
    contexts = {m["name"]: m.get("context_length") for m in loaded["models"]}
    on_disk = await http_json.get(http, backend, "/api/tags")
    return [
        await _model(http, backend, entry["name"], contexts.get(entry["name"]))
        for entry in on_disk["models"]
    ]


async def _model(
    http: aiohttp.ClientSession, backend: Backend, model: str, loaded: int | None
) -> ServedModel:
    shown = await http_json.post(http, backend, "/api/show", {"model": model})
    abilities = shown.get("capabilities", [])
    tools: ToolSupport = "native" if "tools" in abilities else "none"
    return ServedModel(
        id=model,
        max_model_len=loaded or min(DEFAULT_CONTEXT_TOKENS, _longest(shown)),
        tools=tools,
        vision="vision" in abilities,
        reasoning="thinking" in abilities,
        fill_in_the_middle="insert" in abilities,
        takes_suffix="insert" in abilities,
        chat="completion" in abilities if abilities else None,
        parallel=_PARALLEL,
        quantization=shown.get("details", {}).get("quantization_level"),
    )


def _longest(shown: Mapping[str, Any]) -> int:
    """The longest context that the model was made for; its key begins with the architecture."""
    info = shown.get("model_info", {})
    found = [value for key, value in info.items() if key.endswith(".context_length")]
    return int(found[0]) if found else DEFAULT_CONTEXT_TOKENS


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """The short default context: Ollama cuts longer prompts silently."""
    found = []
    for model in models:
        with contextlib.suppress(KeyError, TypeError):
            shown = await http_json.post(http, backend, "/api/show", {"model": model.id})
            longest, has = _longest(shown), model.max_model_len or 0
            if has <= DEFAULT_CONTEXT_TOKENS < longest:
                found.append(
                    f"Ollama serves {model.id} with {has:,} tokens of its {longest:,} and cuts "
                    "longer prompts silently. Set OLLAMA_CONTEXT_LENGTH=32768 for the "
                    "server and start it again."
                )
    return found
