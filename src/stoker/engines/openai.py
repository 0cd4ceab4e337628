"""Any server that speaks OpenAI's API and is none of those that Stoker knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing
from stoker.engines.base import Backend, Engine, ServedModel

if TYPE_CHECKING:
    import aiohttp

name = "openai"
VERSION_AT = None

#: Kinds of models that answer no chats, as Together, LM Studio, LiteLLM, Xinference
#: (``model_type``) and Infinity (https://github.com/michaelfeil/infinity/issues/333) name them.
_NO_CHATS = frozenset(
    ("embedding", "embeddings", "embed", "rerank", "reranker", "classify", "image", "video",
     "image_generation", "audio", "moderation", "audio_transcription", "audio_speech", "transcribe")
)  # fmt: skip
#: The same in Lemonade's ``labels``, among others.
_NO_CHAT_LABELS = frozenset(
    ("embeddings", "reranking", "transcription", "realtime-transcription", "tts", "speech-to-text")
)


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """It lists models."""
    return bool(model_listing.entries(listing))


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """``/v1/models`` is all that every such server has."""
    return await http_json.answers(http, backend, "/v1/models")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models, with what the listing has of their context length and abilities."""
    listing = await http_json.get(http, backend, "/v1/models")
    windows = model_listing.windows(listing)
    return [
        _model(entry, windows[entry["id"]])
        for entry in model_listing.entries(listing)
        if not model_listing.is_alias(entry)
    ]


def _model(entry: Mapping[str, Any], window: int | None) -> ServedModel:
    return ServedModel(id=entry["id"], max_model_len=window, chat=chats(entry))


def chats(entry: Mapping[str, Any]) -> bool | None:
    """Whether an entry's kind answers chats; ``None`` where it has none that is known."""
    abilities = entry.get("capabilities")
    if isinstance(abilities, Mapping) and isinstance(abilities.get("completion_chat"), bool):
        return bool(abilities["completion_chat"])  # Mistral's API
    labels = _texts(entry.get("labels"))
    kind = entry.get("type") or entry.get("mode") or entry.get("model_type")
    kinds = [kind] if isinstance(kind, str) else _texts(abilities)
    is_other = kinds and all(each in _NO_CHATS for each in kinds)
    return False if is_other or not _NO_CHAT_LABELS.isdisjoint(labels) else None


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


async def count(http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]) -> int:
    """There is nothing to ask. Raises ``NotImplementedError``."""
    raise NotImplementedError(f"the server at {backend.url} can't count tokens")


async def count_texts(
    http: aiohttp.ClientSession, backend: Backend, model: str, texts: Sequence[str]
) -> Sequence[int]:
    """There is nothing to ask. Raises ``NotImplementedError``."""
    raise NotImplementedError(f"the server at {backend.url} can't count tokens")


def adapt(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """It takes OpenAI's form."""
    return request


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """Nothing is known of it beforehand."""
    return []


ENGINE = Engine(
    name=name,
    title="OpenAI-compatible server",
    client=__name__,
)
