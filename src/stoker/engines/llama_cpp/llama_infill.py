"""Fill-in-the-middle on llama.cpp beyond what its ``/infill`` reads. Seen in build b11549."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json
from stoker.engines.base import Backend, InfillApi
from stoker.engines.llama_cpp.llama_batch import LEAST_BATCH

if TYPE_CHECKING:
    import aiohttp

#: The question waits for a slot as long as the request that needs it would.
_QUEUE_S = 600.0


async def written(
    http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]
) -> tuple[str, int]:
    """The prompt that ``/infill`` writes, its special tokens by name, and its tokens.

    Raises ``aiohttp.ClientError``, also for a model without the tokens (501).
    """
    body = {**request, "n_predict": 0}
    answer = await http_json.post(http, backend, "/infill", body, within_s=_QUEUE_S)
    return str(answer["prompt"]), int(answer["tokens_evaluated"])


async def tokenize(
    http: aiohttp.ClientSession, backend: Backend, model: str, text: str, special: bool
) -> list[int]:
    """The ids of a text; with ``special``, names of special tokens in it are those tokens.

    ``/infill`` reads the user's texts without, so a file that holds such a name stays a text. A
    server of several models needs the name of one.
    """
    body = {"model": model, "content": text, "add_special": False, "parse_special": special}
    answer = await http_json.post(http, backend, "/tokenize", body)
    return [int(token) for token in answer["tokens"]]


#: It reads ``n_batch`` tokens, less a few special ones: three quarters of them before the cursor
#: (``format_prompt_infill``). No token is shorter than a byte.
_SURELY_READ_BYTES = (3 * LEAST_BATCH // 4 - 3, LEAST_BATCH // 4 - 2)

INFILL = InfillApi(
    path="/completion", written=written, tokenize=tokenize, surely_read_bytes=_SURELY_READ_BYTES
)
