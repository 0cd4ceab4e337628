"""What several servers have in common: owners and aliases of models, and how tools are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines.base import Backend, ServedModel

if TYPE_CHECKING:
    import aiohttp

#: The name that every gateway of Stoker's accepts for the model that it serves first.
ALIAS = "local"

#: Names under which servers give the context length; the one that is in use comes first. LM
#: Studio's, vLLM's, OpenRouter's and Together's, Groq's, Mistral's, LiteLLM's; TabbyAPI's in its
#: ``parameters``; llama.cpp's in its ``meta``, where only some releases have it.
_LENGTHS = (
    "loaded_context_length",
    "max_model_len",
    "context_length",
    "context_window",
    "max_context_length",
    "max_input_tokens",
    "max_seq_len",
    "n_ctx",
)
#: Where some have it: OpenRouter for the provider it sends to, DeepInfra, LiteLLM.
_NESTED = ("top_provider", "metadata", "model_info", "parameters", "meta")
_MAX_DIGITS = 12
#: Where an entry has its name; OpenAI's comes first.
_IDS = ("id", "model_id", "name", "model")

_TOOL = {"type": "function", "function": {"name": "noop", "parameters": {"type": "object"}}}


#: How servers report that they take no tools at all: vLLM 0.32 without a tool parser, and SGLang;
#: Ollama for a model without them; llama-server without --jinja.
_NO_TOOLS = ("tool-call-parser", "does not support tools", "requires --jinja")


def entries(listing: Any) -> list[Mapping[str, Any]]:
    """The models of a ``/v1/models`` listing that have a name, each once, under ``id``.

    Together's API sends the list as it is (https://docs.together.ai/reference/models-1), and
    vLLM's router calls it ``models`` (https://github.com/vllm-project/router/issues/133).
    """
    if isinstance(listing, Mapping):
        listing = listing["data"] if listing.get("data") else listing.get("models")
    found = listing if isinstance(listing, list) else []
    entries = (_entry(each) for each in found if isinstance(each, Mapping))
    by_id: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        by_id.setdefault(entry["id"], entry)  # a router lists the same model of several servers
    by_id.pop("", None)
    return list(by_id.values())


def _entry(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """One model with its ``id``, empty where it has none."""
    names = (fields.get(key) for key in _IDS)
    return {**fields, "id": next((name for name in names if isinstance(name, str) and name), "")}


def says_no_tools(message: str) -> bool:
    """Whether a refusal is about tools as such, and not about one of them."""
    return any(words in message for words in _NO_TOOLS)


def owned_by(listing: Any, owner: str) -> bool:
    """Whether some model of a ``/v1/models`` listing is ``owned_by`` that server."""
    return any(entry.get("owned_by") == owner for entry in entries(listing))


def windows(listing: Any) -> dict[str, int | None]:
    """The context length of each model in tokens; an adapter has that of its ``parent``.

    vLLM and SGLang list LoRA adapters so, without a length of their own:
    https://docs.vllm.ai/en/latest/features/lora.html
    """
    listed = entries(listing)
    own = {entry["id"]: window(entry) for entry in listed}
    return {entry["id"]: own[entry["id"]] or own.get(entry.get("parent")) for entry in listed}


def window(entry: Mapping[str, Any]) -> int | None:
    """The context length in one entry, under whichever name; ``None`` where it has none."""
    found = (_tokens(entry.get(name)) for name in _LENGTHS)
    whole = next((tokens for tokens in found if tokens), None)
    inner = [window(entry[name]) for name in _NESTED if isinstance(entry.get(name), Mapping)]
    return min((tokens for tokens in (whole, *inner) if tokens), default=None)


def _tokens(value: Any) -> int | None:
    """A length; a 0 is none, as servers write it that do not know yet."""
    if isinstance(value, str) and value.isdecimal() and len(value) < _MAX_DIGITS:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def is_alias(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of ``/v1/models`` is a gateway's second name for a model listed before."""
    named = (entry.get("id"), entry.get("owned_by")) == (ALIAS, "stoker")
    return named and entry.get("root") not in (None, ALIAS)


async def refuses_tools(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> bool:
    """Whether a chat with a tool is refused with 400. Costs one token where it is not."""
    chats = next((model.id for model in models if model.may_chat), None)
    if chats is None:
        return False
    body = {
        "model": chats,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [_TOOL],
        "max_tokens": 1,
    }
    url = backend.url + "/v1/chat/completions"
    async with http.post(
        url, json=body, headers=backend.headers, allow_redirects=False
    ) as response:
        return response.status == 400
