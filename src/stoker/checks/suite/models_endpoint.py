"""The list of models, and whether the context window is as long as advertised."""

from __future__ import annotations

from typing import Any

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotShown, TooLate
from stoker.checks.raw_http import Reply
from stoker.checks.target import (
    CHAT,
    MOST_PROMPT_TOKENS,
    SLACK_TOKENS,
    Endpoint,
    answered,
    error_message,
    expect,
    usage,
)

table = Table("models", "Models and their context")
_CHAT = (Use.CHAT, Use.AGENT, Use.COMMIT)
#: A prompt of this share of the window must be accepted: the rest is template and answer.
_NEARLY = 0.92
#: A refusal comes at once; a server that takes longer has accepted the prompt and reads it.
_REFUSED_WITHIN_S = 20.0
#: Where fewer than this share of a prompt's tokens were counted, the prompt was truncated.
_TRUNCATED_SHARE = 0.8


@table.check(
    "list",
    "The list has at least one model, and each has its own name.",
    why="The editor shows these names in its model picker.",
    fix="Load a model under one name (--served-model-name, --alias).",
    needed_for=tuple(Use),
)
def listed(endpoint: Endpoint) -> str:
    entries = _entries(endpoint)
    names = [entry.get("id") for entry in entries]
    expect(names, "the list is empty")
    expect(all(isinstance(n, str) and n for n in names), f"a model has no name: {names}")
    expect(len(set(map(str, names))) == len(names), f"two models have the same name: {names}")
    return ", ".join(map(str, names))


@table.check(
    "shape",
    "The list has OpenAI's shape: object `list`, each entry an object `model`.",
    why="OpenAI's client libraries reject or misread any other shape.",
    fix='Answer {"object": "list", "data": [{"id": ..., "object": "model"}]}.',
)
def shape(endpoint: Endpoint) -> str:
    listing = answered(endpoint.get("/v1/models"))
    expect(listing.get("object") == "list", f"object is {listing.get('object')!r}, not 'list'")
    wrong = [e.get("id") for e in _entries(endpoint) if e.get("object") != "model"]
    expect(not wrong, f"object is not 'model' for: {wrong}")
    return "OpenAI's shape"


@table.check(
    "unknown-model",
    "A chat with a model that is not served is refused with 404 or 400.",
    why="If another model answers, a mistyped name goes unnoticed and the limits are wrong.",
    fix="Refuse unknown model names; Stoker's gateway does.",
    helps=_CHAT,
)
def unknown_model(endpoint: Endpoint) -> str:
    reply = endpoint.chat("Hi", model="stoker-check-no-such-model", max_tokens=1)
    if reply.ok:
        raise Failed(f"answered anyway, as {reply.json().get('model')!r}")
    expect(reply.status in (400, 404), f"status {reply.status}: {reply.text}")
    return f"status {reply.status}: {error_message(reply)[:120]}"


@table.check(
    "reply-name",
    "An answer names the model that was asked for.",
    why="Editors show and log which model answered.",
    fix="Return the served name in `model`.",
)
def reply_name(endpoint: Endpoint) -> str:
    named = answered(endpoint.sample).get("model")
    expect(named == endpoint.model, f"asked for {endpoint.model!r}, answered as {named!r}")
    return str(named)


@table.check(
    "context-advertised",
    "The server advertises its context window.",
    why="Without it the editor guesses, and long conversations fail or are cut needlessly.",
    fix="Return `max_model_len` in /v1/models, as vLLM and Stoker's gateway do.",
    helps=_CHAT,
)
def context_advertised(endpoint: Endpoint) -> str:
    return f"{endpoint.known_window():,} tokens"


@table.check(
    "context-end",
    "A prompt longer than the advertised context window is refused, not cut silently.",
    why="A silent cut drops the system prompt or the question, and no error shows it.",
    fix="Refuse it with 400, or advertise the real window.",
    helps=_CHAT,
)
def context_end(endpoint: Endpoint) -> str:
    tokens = endpoint.too_much()
    reply = _long(endpoint, tokens, _REFUSED_WITHIN_S)
    if reply is None:
        endpoint.settle()
        raise Failed(f"{tokens:,} tokens were not refused within {_REFUSED_WITHIN_S:.0f} s")
    if reply.ok:
        read = usage(reply.json())["prompt_tokens"]
        raise Failed(f"{tokens:,} tokens were answered, {read:,} of them read")
    return f"{tokens:,} tokens: status {reply.status}"


@table.check(
    "context-real",
    "A prompt that fills 92% of the advertised context window, or has "
    f"{MOST_PROMPT_TOKENS:,} tokens, is read in full.",
    why="Editors fill the advertised window; if the real one is shorter, answers fail or the "
    "beginning of the conversation is silently lost.",
    fix="Advertise the window that one request really gets (llama.cpp divides it among its slots; "
    "Ollama truncates at num_ctx).",
    needed_for=(Use.AGENT,),
    helps=(Use.CHAT,),
)
def context_real(endpoint: Endpoint) -> str:
    window = endpoint.known_window()
    nearly = min(int(window * _NEARLY), window - SLACK_TOKENS)
    tokens = min(nearly, MOST_PROMPT_TOKENS)
    limit_s = endpoint.client.timeout_s
    reply = _long(endpoint, tokens, limit_s)
    if reply is None:
        endpoint.settle()
        raise NotShown(
            f"{tokens:,} tokens were neither refused nor read within {limit_s:.0f} s; "
            "raise --timeout"
        )
    expect(reply.ok, f"{tokens:,} of {window:,} tokens were refused: {error_message(reply)}")
    read = usage(reply.json())["prompt_tokens"]
    expect(
        read >= tokens * _TRUNCATED_SHARE,
        f"of {tokens:,} tokens only {read:,} were read: the rest was cut off silently",
    )
    beyond = "" if tokens == nearly else "; longer prompts were not tried"
    return f"{read:,} of {window:,} tokens were read in {reply.elapsed_s:.1f} s{beyond}"


def _long(endpoint: Endpoint, tokens: int, limit_s: float) -> Reply | None:
    """The answer to a prompt of ``tokens`` tokens; ``None`` where none began in time."""
    body = endpoint.filler(tokens)
    try:
        return endpoint.post(CHAT, endpoint.ask(body, max_tokens=1), limit_s=limit_s)
    except TooLate:
        return None


def _entries(endpoint: Endpoint) -> list[dict[str, Any]]:
    data = answered(endpoint.get("/v1/models")).get("data")
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise Failed("`data` is not a list of objects")
    return data
