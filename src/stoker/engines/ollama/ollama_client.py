"""Ollama 0.5 and later, by its published API; tested on a contract server.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md. On ``/v1`` the context is what the
model was loaded with, ``num_ctx`` in a request is ignored, and a longer prompt is cut silently.
"""

from __future__ import annotations

import asyncio
import re
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

_NUM_CTX = re.compile(r"^\s*num_ctx\s+(\d+)\s*$", re.MULTILINE)

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
    contexts = {m.get("name"): m.get("context_length") for m in loaded.get("models") or ()}
    on_disk = await http_json.get(http, backend, "/api/tags")
    names = [entry.get("name") or entry.get("model") for entry in on_disk.get("models") or ()]
    shown = await asyncio.gather(*(_shown(http, backend, name) for name in names))
    pairs = zip(names, shown, strict=True)
    return [_model(name, facts, contexts.get(name)) for name, facts in pairs if facts is not None]


async def _shown(http: aiohttp.ClientSession, backend: Backend, model: str) -> Any:
    """What Ollama knows of a model; ``None`` for one that it can't show.

    Such a one can't chat either: its files are damaged, or it runs in Ollama's cloud and the
    server has no account there.
    """
    import aiohttp  # noqa: PLC0415

    try:
        shown = await http_json.post(http, backend, "/api/show", {"model": model})
    except (aiohttp.ClientError, asyncio.TimeoutError, ValueError):
        return None
    return shown if isinstance(shown, Mapping) else None


def _model(model: str, shown: Mapping[str, Any], loaded: int | None) -> ServedModel:
    abilities = shown.get("capabilities") or []
    tools: ToolSupport = "native" if "tools" in abilities else "none"
    return ServedModel(
        id=model,
        max_model_len=loaded or _context_when_loaded(shown),
        tools=tools,
        vision="vision" in abilities,
        reasoning="thinking" in abilities,
        fill_in_the_middle="insert" in abilities,
        takes_suffix="insert" in abilities,
        chat="completion" in abilities if abilities else None,
        parallel=_PARALLEL,
        quantization=(shown.get("details") or {}).get("quantization_level"),
    )


def _context_when_loaded(shown: Mapping[str, Any]) -> int:
    """The context that Ollama will load a model with: its model file's, else the default.

    ``num_ctx`` goes before OLLAMA_CONTEXT_LENGTH, and the model's own longest context bounds both:
    https://docs.ollama.com/modelfile#parameter
    """
    longest, wanted = _longest(shown), _num_ctx(shown)
    if wanted is None:
        return min(DEFAULT_CONTEXT_TOKENS, longest or DEFAULT_CONTEXT_TOKENS)
    return min(wanted, longest or wanted)


def _num_ctx(shown: Mapping[str, Any]) -> int | None:
    """``num_ctx`` of the model file: ``parameters`` has a name and a value on each line."""
    found = _NUM_CTX.search(str(shown.get("parameters") or ""))
    return int(found[1]) if found and int(found[1]) > 0 else None


def _longest(shown: Mapping[str, Any]) -> int | None:
    """The longest context that the model was made for; its key begins with the architecture."""
    info = shown.get("model_info") or {}
    found = [value for key, value in info.items() if key.endswith(".context_length")]
    return int(found[0]) if found else None


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """The short default context: Ollama cuts longer prompts silently."""
    chats = [model for model in models if model.may_chat]
    shown = await asyncio.gather(*(_shown(http, backend, model.id) for model in chats))
    found = [_cut_off(model, facts or {}) for model, facts in zip(chats, shown, strict=True)]
    return [warning for warning in found if warning]


def _cut_off(model: ServedModel, shown: Mapping[str, Any]) -> str | None:
    longest, has = _longest(shown) or 0, model.max_model_len or 0
    if not has <= DEFAULT_CONTEXT_TOKENS < longest:
        return None
    setting = "Set OLLAMA_CONTEXT_LENGTH=32768 for the server and start it again."
    if _num_ctx(shown):
        setting = "Its model file sets num_ctx: create the model again with a larger one."
    return (
        f"Ollama serves {model.id} with {has:,} tokens of its {longest:,} and cuts longer prompts "
        f"silently. {setting}"
    )
