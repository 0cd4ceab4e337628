"""Text Generation Inference 3, by its published API; tested on a contract server.

Source: https://huggingface.co/docs/text-generation-inference/reference/api_reference. The project
is in maintenance mode: https://github.com/huggingface/text-generation-inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, openai, server_tokenizer, text_pieces
from stoker.engines.base import Backend, Engine, InfillApi, InfillTokenizer, ServedModel

if TYPE_CHECKING:
    import aiohttp

name = "tgi"
VERSION_AT = "/info"
count_texts = openai.count_texts
adapt = openai.adapt


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Only TGI's ``/info`` has the longest input and the longest total."""
    info = await http_json.get(http, backend, "/info")
    return "max_total_tokens" in info and "model_id" in info


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """``/health`` asks the shards."""
    return await http_json.answers(http, backend, "/health")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The one model. ``max_total_tokens`` is for prompt and answer together."""
    info = await http_json.get(http, backend, "/info")
    model = info["model_id"]
    fills = await server_tokenizer.fills_in(await tokenizer(http, backend, model))
    return [ServedModel(id=model, max_model_len=info["max_total_tokens"], fill_in_the_middle=fills)]


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    """``/tokenize`` with the place of each token in the text: prompts are texts.

    Source: ``tokenize`` in router/src/server.rs. It puts what begins a prompt before every text, as
    for a completion, and reads every name of a special token as that token.
    """

    http: aiohttp.ClientSession
    backend: Backend

    async def tokens(self, text: str, *, special: bool) -> Sequence[str]:
        """The pieces of a text, a token each."""
        if not text:
            return []
        answer = await http_json.post(self.http, self.backend, "/tokenize", {"inputs": text})
        with server_tokenizer.holding_tokens():
            return text_pieces.pieces(text, [(int(t["start"]), int(t["stop"])) for t in answer])

    async def begin(self) -> Sequence[int]:
        """Nothing: the server adds it by itself."""
        return []


async def tokenizer(http: aiohttp.ClientSession, backend: Backend, _model: str) -> InfillTokenizer:
    """The tokenizer of its one model."""
    return _Tokenizer(http, backend)


async def count(http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]) -> int:
    """Exact prompt tokens, from ``/chat_tokenize``."""
    answer = await http_json.post(http, backend, "/chat_tokenize", request)
    return len(answer["tokenize_response"])


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """That it is no longer developed, and where its limits lie."""
    info = await http_json.get(http, backend, "/info")
    found = [
        "TGI is in maintenance mode: it gets no new models. vLLM serves the same files: "
        f"stoker up --engine vllm {info['model_id']}."
    ]
    longest, total = info.get("max_input_tokens"), info["max_total_tokens"]
    if isinstance(longest, int) and longest < total - 1:
        found.append(
            f"TGI refuses prompts of more than {longest:,} tokens, though the context is "
            f"{total:,}: raise --max-input-tokens."
        )
    return found


ENGINE = Engine(
    name=name,
    title="TGI",
    client=__name__,
    # ``--max-stop-sequences`` is 4 unless it is set.
    infill=InfillApi(tokenizer=tokenizer, takes_ids=False, most_stops=4),
)
