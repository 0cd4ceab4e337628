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

#: Names under which servers give the context length in ``/v1/models``.
_LENGTHS = ("max_model_len", "context_length", "max_context_length", "context_window")


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """It lists models."""
    return isinstance(listing, Mapping) and bool(listing.get("data"))


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """``/v1/models`` is all that every such server has."""
    return await http_json.answers(http, backend, "/v1/models")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models, with a context length where the listing has one."""
    listing = await http_json.get(http, backend, "/v1/models")
    return [
        ServedModel(id=entry["id"], max_model_len=_length(entry))
        for entry in listing["data"]
        if not model_listing.is_alias(entry)
    ]


def _length(entry: Mapping[str, Any]) -> int | None:
    return next((entry[n] for n in _LENGTHS if isinstance(entry.get(n), int)), None)


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
