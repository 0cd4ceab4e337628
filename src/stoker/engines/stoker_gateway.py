"""Another of Stoker's gateways, such as the one on a team's GPU machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing, openai
from stoker.engines.base import Backend, Engine, ServedModel

if TYPE_CHECKING:
    import aiohttp

name = "stoker"
VERSION_AT = "/info"
adapt = openai.adapt


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Its models are Stoker's, and so is its ``/info``: another server may pass a list on."""
    if not model_listing.owned_by(listing, "stoker"):
        return False
    info = await http_json.get(http, backend, "/info")
    return isinstance(info, Mapping) and info.get("server") == "stoker"


async def behind(http: aiohttp.ClientSession, backend: Backend) -> tuple[str, ...]:
    """The kinds of server that it passes requests on to, as far as it knows them."""
    info = await http_json.get(http, backend, "/info")
    return tuple(dict.fromkeys(b["engine"] for b in info["backends"] if b.get("engine")))


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """``/health`` speaks of the gateway alone; ``/ready`` of what is behind it too."""
    return await http_json.answers(http, backend, "/ready")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models, with what it does for them: tools that it emulates need no second emulation.

    A capability that it does not have is left open here: the listing is the same for one
    that it does not know, and it refuses by itself what can't be done.
    """
    listing = await http_json.get(http, backend, "/v1/models")
    return [
        ServedModel(
            id=entry["id"],
            max_model_len=entry.get("max_model_len"),
            tools=entry["capabilities"]["tools"],
            vision=entry["capabilities"]["vision"] or None,
            reasoning=entry["capabilities"]["reasoning"] or None,
            fill_in_the_middle=entry["capabilities"]["infill"] or None,
            chat=entry["capabilities"].get("chat"),
            quantization=entry.get("quantization"),
        )
        for entry in listing["data"]
        if not model_listing.is_alias(entry)
    ]


async def count(http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]) -> int:
    """Exact prompt tokens, from ``/tokenize`` with the request as it would be sent."""
    return int((await http_json.post(http, backend, "/tokenize", request))["count"])


async def count_texts(
    http: aiohttp.ClientSession, backend: Backend, model: str, texts: Sequence[str]
) -> Sequence[int]:
    """All texts in one call of ``/tokenize``."""
    body = {"model": model, "prompt": list(texts)}
    return [int(n) for n in (await http_json.post(http, backend, "/tokenize", body))["counts"]]


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """A second gateway adds nothing to what an editor gets."""
    return [
        "This is a gateway of Stoker's already, and editors can use it as it is: "
        f"stoker code --endpoint {backend.url}."
    ]


ENGINE = Engine(
    name=name,
    title="Stoker's gateway",
    client=__name__,
    behind=behind,
)
