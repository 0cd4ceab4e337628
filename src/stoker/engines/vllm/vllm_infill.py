"""Fill-in-the-middle on vLLM, which takes token ids and refuses ``suffix``. Seen in 0.32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stoker.engines.base import Backend, InfillApi, InfillTokenizer
from stoker.engines.server_tokenizer import ServerTokenizer

if TYPE_CHECKING:
    import aiohttp


async def tokenizer(http: aiohttp.ClientSession, backend: Backend, model: str) -> InfillTokenizer:
    """Its ``/tokenize``. It reads every name of a special token as that token."""

    def body(text: str, _special: bool, begin: bool) -> Mapping[str, Any]:
        return {"model": model, "prompt": text, "add_special_tokens": begin}

    return ServerTokenizer(http, backend, "/tokenize", body)


INFILL = InfillApi(tokenizer=tokenizer, takes_ids=True, stop_ids_field="stop_token_ids")
