"""Fill-in-the-middle on llama.cpp, where the gateway writes the prompt. Seen in build b11549."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json
from stoker.engines.base import Backend, InfillApi, InfillTokenizer, OwnInfill
from stoker.engines.llama_cpp.llama_batch import LEAST_BATCH
from stoker.engines.server_tokenizer import ServerTokenizer

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


async def tokenizer(http: aiohttp.ClientSession, backend: Backend, model: str) -> InfillTokenizer:
    """Its ``/tokenize``, which can leave names of special tokens as text.

    So ``/infill`` reads the user's texts, and a file that holds such a name stays a text. A server
    of several models needs the name of one.
    """

    def body(text: str, special: bool, begin: bool) -> Mapping[str, Any]:
        return {"model": model, "content": text, "add_special": begin, "parse_special": special}

    return ServerTokenizer(http, backend, "/tokenize", body)


#: It reads ``n_batch`` tokens, less a few special ones: three quarters of them before the cursor
#: (``format_prompt_infill``). No token is shorter than a byte.
_SURELY_READ_BYTES = (3 * LEAST_BATCH // 4 - 3, LEAST_BATCH // 4 - 2)

#: Tokens that end an answer it knows by their names (``llama_vocab``), those for padding, files and
#: repositories among them: it has no field for more.
INFILL = InfillApi(
    tokenizer=tokenizer,
    takes_ids=True,
    own=OwnInfill(path="/completion", written=written, surely_read_bytes=_SURELY_READ_BYTES),
)
