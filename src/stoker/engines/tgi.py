"""Text Generation Inference 3, by its published API; tested on a contract server.

Source: https://huggingface.co/docs/text-generation-inference/reference/api_reference. The project
is in maintenance mode: https://github.com/huggingface/text-generation-inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, openai
from stoker.engines.base import Backend, Engine, ServedModel

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
    return [ServedModel(id=info["model_id"], max_model_len=info["max_total_tokens"])]


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
)
