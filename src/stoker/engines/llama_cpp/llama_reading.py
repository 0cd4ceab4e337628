"""llama.cpp reads a prompt, or a part of it, without an answer. Seen in build b11549."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json
from stoker.engines.base import Backend, PromptReader

if TYPE_CHECKING:
    import aiohttp

#: What of a chat its template writes.
_WRITTEN = ("messages", "tools", "chat_template_kwargs")


async def tokens(
    http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]
) -> list[int]:
    """The ids of a chat's prompt, as the server writes it. Raises ``aiohttp.ClientError``."""
    chat = {name: request[name] for name in _WRITTEN if name in request}
    written = await http_json.post(http, backend, "/apply-template", chat)
    # As chats are tokenized.
    text = {"content": written["prompt"], "add_special": True, "parse_special": True}
    return list((await http_json.post(http, backend, "/tokenize", text))["tokens"])


async def read(
    http: aiohttp.ClientSession, backend: Backend, slot: int, prompt: Sequence[int]
) -> None:
    """Read what of a prompt is not in the slot yet. Raises ``aiohttp.ClientError``."""
    body = {"prompt": list(prompt), "n_predict": 0, "id_slot": slot, "cache_prompt": True}
    await http_json.post(http, backend, "/completion", body)


PROMPT_READER = PromptReader(tokens=tokens, read=read)
