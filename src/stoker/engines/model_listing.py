"""What several servers have in common: owners and aliases of models, and how tools are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines.base import Backend, ServedModel

if TYPE_CHECKING:
    import aiohttp

#: The name that every gateway of Stoker's accepts for the model that it serves first.
ALIAS = "local"

_TOOL = {"type": "function", "function": {"name": "noop", "parameters": {"type": "object"}}}


#: How servers report that they take no tools at all: vLLM 0.32 without a tool parser, and SGLang;
#: Ollama for a model without them; llama-server without --jinja.
_NO_TOOLS = ("tool-call-parser", "does not support tools", "requires --jinja")


def says_no_tools(message: str) -> bool:
    """Whether a refusal is about tools as such, and not about one of them."""
    return any(words in message for words in _NO_TOOLS)


def owned_by(listing: Any, owner: str) -> bool:
    """Whether some model of a ``/v1/models`` listing is ``owned_by`` that server."""
    entries = listing.get("data") if isinstance(listing, Mapping) else None
    return any(entry.get("owned_by") == owner for entry in entries or ())


def is_alias(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of ``/v1/models`` is a gateway's second name for a model listed before."""
    named = (entry.get("id"), entry.get("owned_by")) == (ALIAS, "stoker")
    return named and entry.get("root") not in (None, ALIAS)


async def refuses_tools(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> bool:
    """Whether a chat with a tool is refused with 400. Costs one token where it is not."""
    body = {
        "model": models[0].id,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [_TOOL],
        "max_tokens": 1,
    }
    url = backend.url + "/v1/chat/completions"
    async with http.post(url, json=body, headers=backend.headers) as response:
        return response.status == 400
