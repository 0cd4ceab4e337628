"""How a running vLLM is asked about itself. Its endpoints are those of 0.10 to 0.32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json, model_listing, server_tokenizer
from stoker.engines.base import Backend, ServedModel
from stoker.engines.vllm import vllm_infill

if TYPE_CHECKING:
    import aiohttp

name = "vllm"
VERSION_AT = "/version"


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Its listing names the owner of the models."""
    return model_listing.owned_by(listing, "vllm")


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """Tools are refused unless vLLM was started with a parser for them."""
    if await model_listing.refuses_tools(http, backend, models):
        return [
            "vLLM runs without a tool parser, so Stoker offers tools in the prompt. For calls in "
            "the model's own form start it with --enable-auto-tool-choice --tool-call-parser NAME."
        ]
    return []


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """vLLM listens only when it can answer; ``/health`` then asks the engine process.

    vllm-router (0.1.17) stands for several, and its ``/health`` fails while one of them is down.
    Its ``/readiness``, which vLLM does not have, reports whether any of them can answer.
    """
    return await http_json.answers(http, backend, "/health") or await http_json.answers(
        http, backend, "/readiness"
    )


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The models and LoRA adapters, with the context of one request.

    Whether tools work is a matter of launch flags that vLLM does not report: ``tools`` stays
    unknown here, and a check finds out.
    """
    listing = await http_json.get(http, backend, "/v1/models")
    windows = model_listing.windows(listing)
    chats = await _chats(http, backend)
    fills = await _fill_in(http, backend, list(windows)) if chats is not False else {}
    return [
        ServedModel(
            id=name, max_model_len=window, chat=chats, fill_in_the_middle=fills.get(name, False)
        )
        for name, window in windows.items()
    ]


async def _fill_in(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[str]
) -> Mapping[str, bool | None]:
    """Which models have the tokens of a form; adapters have their base model's."""
    found = {}
    for model in models:
        tokenizer = await vllm_infill.tokenizer(http, backend, model)
        found[model] = await server_tokenizer.fills_in(tokenizer)
    return found


#: No server has a model of this name.
_NO_MODEL = "stoker-asks-whether-chats-are-answered"


async def _chats(http: aiohttp.ClientSession, backend: Backend) -> bool | None:
    """``False`` for a server that only makes embeddings, scores or the like; ``None`` else.

    Its listing does not show it. A chat with a model that it does not serve costs nothing: a server
    that chats answers that the model "does not exist". One that does not has no such path since
    its routes follow the model's tasks (vllm/entrypoints/openai/api_server.py), and refused every
    chat before, as 400 or 501.
    """
    body = {"model": _NO_MODEL, "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    said = await http_json.send(http, backend, "/v1/chat/completions", body)
    is_no_path = said.status == 404 and b"does not exist" not in said.body
    return False if is_no_path or b"does not support Chat Completions" in said.body else None


#: Fields of a chat that its template gets as variables, and ``/tokenize`` does not know.
_VARIABLES = ("reasoning_effort", "documents")
#: What ``/tokenize`` takes of a chat.
_COUNTED = (
    *("model", "messages", "tools", "prompt", "chat_template", "chat_template_kwargs"),
    *("add_generation_prompt", "continue_final_message", "add_special_tokens"),
    *("mm_processor_kwargs", "media_io_kwargs"),
)


async def count(http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]) -> int:
    """Exact prompt tokens, from ``/tokenize`` with all that a chat renders."""
    answer = await http_json.post(http, backend, "/tokenize", _counted_form(request))
    return int(answer["count"])


def _counted_form(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """A chat in the form in which ``/tokenize`` counts it right.

    The path renders as a chat does, but for what a chat's own checks do before: they take
    ``reasoning_content`` as ``reasoning``, and an effort as two variables of the template
    (vllm/entrypoints/openai/chat_completion/protocol.py in 0.32).
    """
    body = {name: request[name] for name in _COUNTED if request.get(name) is not None}
    if isinstance(body.get("messages"), list):
        body["messages"] = [_with_reasoning(message) for message in body["messages"]]
    variables = {n: request[n] for n in _VARIABLES if request.get(n) is not None}
    if variables:
        asked = body.get("chat_template_kwargs", {})
        effort = variables.get("reasoning_effort")
        thinking = {} if effort is None else {"enable_thinking": effort != "none"}
        body["chat_template_kwargs"] = {**thinking, **asked, **variables}
    return body


def _with_reasoning(message: Any) -> Any:
    reasoning = message.get("reasoning_content") if isinstance(message, Mapping) else None
    if reasoning is None:
        return message
    others = {name: value for name, value in message.items() if name != "reasoning_content"}
    return others if others.get("reasoning") is not None else {**others, "reasoning": reasoning}


async def count_texts(
    http: aiohttp.ClientSession, backend: Backend, model: str, texts: Sequence[str]
) -> Sequence[int]:
    """One call of ``/tokenize`` for each text: it takes one at a time."""
    bodies = ({"model": model, "prompt": text, "add_special_tokens": False} for text in texts)
    answers = [await http_json.post(http, backend, "/tokenize", body) for body in bodies]
    return [int(answer["count"]) for answer in answers]


def adapt(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """vLLM's requests are OpenAI's."""
    return request
