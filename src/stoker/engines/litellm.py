"""LiteLLM's proxy, by its published API; tested on a contract server.

Source: https://docs.litellm.ai/docs/proxy/model_management. It can count tokens, but with a
tokenizer that is not the model's own, so it is not asked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing, openai
from stoker.engines.base import Backend, Engine, ServedModel

if TYPE_CHECKING:
    import aiohttp

name = "litellm"
VERSION_AT = None
ready = openai.ready
count = openai.count
count_texts = openai.count_texts
adapt = openai.adapt
warnings = openai.warnings


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Only LiteLLM lists at ``/model/info`` which of its models leads where."""
    return any("model_info" in entry for entry in await _deployments(http, backend))


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models that this key may use, with what is configured or known of each.

    Several deployments may share a name, and any of them answers: the smallest window counts.
    """
    listing = await http_json.get(http, backend, "/v1/models")
    deployments = await _deployments(http, backend)
    windows = model_listing.windows(listing)
    return [
        _model(model, window, [d for d in deployments if d.get("model_name") == model])
        for model, window in windows.items()
    ]


async def _deployments(http: aiohttp.ClientSession, backend: Backend) -> list[Mapping[str, Any]]:
    found = (await http_json.get(http, backend, "/model/info"))["data"]
    return [entry for entry in found if isinstance(entry.get("model_info"), Mapping)]


def _model(model: str, window: int | None, deployments: Sequence[Mapping[str, Any]]) -> ServedModel:
    facts = [deployment["model_info"] for deployment in deployments]
    known = (window, *map(model_listing.window, facts))
    return ServedModel(
        id=model,
        max_model_len=min((tokens for tokens in known if tokens), default=None),
        tools="native" if _all(facts, "supports_function_calling") else None,
        vision=_all(facts, "supports_vision") or None,
        reasoning=_all(facts, "supports_reasoning") or None,
        chat=False if any(openai.chats(each) is False for each in facts) else None,
    )


def _all(facts: Sequence[Mapping[str, Any]], ability: str) -> bool:
    return bool(facts) and all(each.get(ability) is True for each in facts)


ENGINE = Engine(
    name=name,
    title="LiteLLM",
    client=__name__,
)
