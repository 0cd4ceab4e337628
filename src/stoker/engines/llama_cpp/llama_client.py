"""How a running llama.cpp server is asked about itself. Seen in build b11549."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from stoker.engines import http_json, model_listing
from stoker.engines.base import Backend, ServedModel, ToolSupport

name = "llama.cpp"
#: How it reports that a model writes no text.
_NO_TEXT = (b"not support logits", b"does not logits", b"does not support completions")
VERSION_AT = "/props"


async def is_it(http: aiohttp.ClientSession, backend: Backend, listing: Any) -> bool:
    """Only llama.cpp's server has ``/props`` with the settings of a slot."""
    return "default_generation_settings" in await http_json.get(http, backend, "/props")


async def warnings(
    http: aiohttp.ClientSession, backend: Backend, models: Sequence[ServedModel]
) -> list[str]:
    """Tools need the model's own template, which llama.cpp uses only with ``--jinja``."""
    if any(model.tools == "none" and model.may_chat for model in models):
        return [
            "This model's chat template has no tools. If the model has them, start llama-server "
            "with --jinja and its own template."
        ]
    return []


async def ready(http: aiohttp.ClientSession, backend: Backend) -> bool:
    """llama.cpp's ``/health`` answers 503 while it loads and 200 when a slot can be used."""
    return await http_json.answers(http, backend, "/health")


async def discover(http: aiohttp.ClientSession, backend: Backend) -> Sequence[ServedModel]:
    """The one model, with the context of one slot from ``/props``; of a router all that it has.

    ``n_ctx`` as launched is shared by the slots; ``/props`` reports what one request may use.
    """
    listing = await http_json.get(http, backend, "/v1/models")
    props = await http_json.get(http, backend, "/props")
    entries = model_listing.entries(listing)
    if props.get("role") == "router":
        found = (_routed(http, backend, entry) for entry in entries)
        return await asyncio.gather(*found)
    # A sleeping server would have to wake up to answer.
    asks = not props.get("is_sleeping")
    fills = await _fills_in_the_middle(http, backend, {}) if asks else None
    chats = await _chats(http, backend, {}) if asks else None
    return [_model(entry["id"], props, None, fills, chats) for entry in entries]


async def _routed(
    http: aiohttp.ClientSession, backend: Backend, entry: Mapping[str, Any]
) -> ServedModel:
    """A model of a server that loads several, each with settings of its own.

    Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md, "Using
    multiple models". Asking for one must not load it.
    """
    model = entry["id"]
    props: Any = {}
    with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError, ValueError):
        path = f"/props?model={quote(model, safe='')}&autoload=false"
        props = await http_json.get(http, backend, path)
    status = entry.get("status") or {}
    is_loaded = status.get("value") == "loaded"
    fills = await _fills_in_the_middle(http, backend, {"model": model}) if is_loaded else None
    chats = await _chats(http, backend, {"model": model}) if is_loaded else None
    return _model(model, props, _launched_context(status.get("args") or ()), fills, chats)


def _launched_context(args: Sequence[Any]) -> int | None:
    """The context of one request by the arguments of a model that is not loaded."""
    given = dict(pairwise(args))
    context = _number(given.get("--ctx-size", given.get("-c")))
    slots = _number(given.get("--parallel", given.get("-np"))) or 1
    shared = any(arg in ("--kv-unified", "-kvu") for arg in args)
    return context if context is None or shared else context // slots


def _number(value: Any) -> int | None:
    return int(value) if str(value).isdecimal() and int(value) > 0 else None


def _model(
    model: str,
    props: Mapping[str, Any],
    launched: int | None,
    fills: bool | None,
    chats: bool | None,
) -> ServedModel:
    settings = props.get("default_generation_settings") or {}
    caps = props.get("chat_template_caps")
    modalities = props.get("modalities")
    return ServedModel(
        id=model,
        # A router has 0 for what it has not loaded.
        max_model_len=settings.get("n_ctx") or launched,
        tools=_tools(caps or {}) if props else None,
        vision=bool((modalities or {}).get("vision", False)) if props else None,
        fill_in_the_middle=fills,
        # It has a path of its own for that, and ignores ``suffix`` on /v1/completions.
        takes_suffix=False,
        chat=chats,
        parallel=props.get("total_slots"),
    )


def _tools(caps: Mapping[str, Any]) -> ToolSupport:
    return "native" if caps.get("supports_tools", False) else "none"


async def _fills_in_the_middle(
    http: aiohttp.ClientSession, backend: Backend, empty: Mapping[str, Any]
) -> bool | None:
    """Whether the vocabulary has the tokens that ``/infill`` is written with.

    It looks for them before it reads the request: an empty one is 501 without them and 400 with
    them, and costs nothing (seen in b11549). A server for embeddings only, or another that
    has no such path, leaves it open.
    """
    try:
        await http_json.post(http, backend, "/infill", empty)
    except aiohttp.ClientResponseError as refused:
        return {400: True, 501: False}.get(refused.status)
    return None


async def _chats(
    http: aiohttp.ClientSession, backend: Backend, empty: Mapping[str, Any]
) -> bool | None:
    """``False`` for a model that makes embeddings only; ``None`` where it may chat.

    ``/props`` and ``/v1/models`` describe such a model as any other, and a model that chats may
    make embeddings beside that. A server without ``--embeddings`` refuses an empty request for
    some as 501, and costs nothing. Any other is asked for one token: a BERT answers 500 ("does not
    support logits computation", seen in b11549), and older builds with ``--embeddings`` 501.
    """
    with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
        if (await http_json.send(http, backend, "/v1/embeddings", empty)).status != 400:
            return None
        one = {**empty, "prompt": "a", "max_tokens": 1}
        said = await http_json.send(http, backend, "/v1/completions", one)
        return False if any(words in said.body for words in _NO_TEXT) else None
    return None


async def count(http: aiohttp.ClientSession, backend: Backend, request: Mapping[str, Any]) -> int:
    """Exact prompt tokens, from ``/v1/chat/completions/input_tokens``."""
    answer = await http_json.post(http, backend, "/v1/chat/completions/input_tokens", request)
    return int(answer["input_tokens"])


async def count_texts(
    http: aiohttp.ClientSession, backend: Backend, model: str, texts: Sequence[str]
) -> Sequence[int]:
    """One call of ``/tokenize`` for each text: it takes one at a time."""
    bodies = ({"model": model, "content": text, "add_special": False} for text in texts)
    answers = [await http_json.post(http, backend, "/tokenize", body) for body in bodies]
    return [len(answer["tokens"]) for answer in answers]


def adapt(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request without what llama.cpp refuses; a demanded call is the form of the answer.

    llama.cpp takes ``tool_choice`` as ``required`` and by no name, and where it does not know a
    template's own form of calls it does not hold the model to it (seen in b11549 with
    Qwen2.5-Coder: a call as text, then zeros until ``max_tokens``). The tools stay where the
    template puts them, so that the prompt's beginning is the one of the turn before.
    """
    last = request["messages"][-1] if request["messages"] else {}
    if _ADAPTED.isdisjoint(request) and last.get("role") != "assistant":
        return request
    from stoker.tokens import request_form  # noqa: PLC0415  (the tokenizer's libraries)
    from stoker.tokens.tool_calls import demanded_call  # noqa: PLC0415

    messages = request_form.with_one_last_answer(request["messages"])
    readable = {**_with_n_probs(request), "messages": messages}
    if request.get("tools"):
        readable["tools"] = [_readable_tool(tool) for tool in request["tools"]]
    constraint = demanded_call(readable)
    if constraint is None:
        return _with_readable_form(readable)
    return {**readable, "tool_choice": "none", "response_format": constraint}


def _with_n_probs(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """``logprobs`` as ``n_probs``, llama.cpp's own name, which it also takes in streams with tools.

    Without ``top_logprobs`` it is 20, as in llama.cpp; 0 would leave the log probabilities out
    (all seen in b11549).
    """
    if request.get("logprobs") is not True:
        return request
    top = request.get("top_logprobs")
    rest = {k: v for k, v in request.items() if k not in {"logprobs", "top_logprobs"}}
    return {**rest, "n_probs": max(1, top) if isinstance(top, int) else _DEFAULT_N_PROBS}


def _readable_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool["function"]
    parameters = function.get("parameters")
    if not parameters:
        return tool
    readable = _readable_schema(parameters)
    if readable is parameters:
        return tool
    return {**tool, "function": {**function, "parameters": readable}}


def _with_readable_form(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The request with the schema that the client wants its answer in, if any, made readable."""
    wanted = request.get("response_format")
    if not isinstance(wanted, dict):
        return request
    named = wanted.get("json_schema")
    if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
        return request
    readable = {**named, "schema": _readable_schema(named["schema"])}
    return {**request, "response_format": {**wanted, "json_schema": readable}}


def _readable_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without limits that its grammar can't hold: they refuse the whole chat.

    Walking a schema costs more than looking for such limits in its text.
    """
    from stoker.tokens import request_form  # noqa: PLC0415

    if not _MAY_BE_UNREADABLE.search(orjson.dumps(schema)):
        return schema
    return request_form.without_keywords(schema, _is_unreadable)


#: Without these, and without an answer at the end, there is nothing to adapt.
_ADAPTED = frozenset({"logprobs", "response_format", "tools"})
_DEFAULT_N_PROBS = 20
#: Repetitions that a grammar of llama.cpp may have. ``minLength`` 2,001, ``maxItems`` 2,000 and
#: ``^a{3000}$`` are refused, and so are numbers beyond 64 bits (measured on b11549).
_MOST_REPETITIONS = 1999
_MOST_INTEGER = 2**63
_REPETITIONS = frozenset({"minLength", "minItems", "maxItems"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_COUNTED = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")
_MAY_BE_UNREADABLE = re.compile(rb'"pattern"|[0-9]{4}|[0-9][eE]\+?[0-9]')


def _is_unreadable(keyword: str, value: Any) -> bool:
    if keyword in _REPETITIONS:
        return bool(value > _MOST_REPETITIONS)
    if keyword in _NUMBERS:
        return bool(abs(value) >= _MOST_INTEGER)
    return keyword == "pattern" and not _is_readable_pattern(value)


def _is_readable_pattern(pattern: str) -> bool:
    """Whether it is a regular expression whose repetitions a grammar can hold."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    counts = (count for pair in _COUNTED.findall(pattern) for count in pair if count)
    return all(int(count) <= _MOST_REPETITIONS for count in counts)
