"""What the list of models says, and whether the context is as long as it says."""

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
#: A refusal comes at once; a server that reads the prompt has accepted it.
_REFUSED_WITHIN_S = 20.0
#: What is left out of a prompt without a word shows as a count that is this much too small.
_TRUNCATED_SHARE = 0.8


@table.check(
    "list",
    "The list has at least one model, each with a name of its own.",
    why="The editor shows these names in its model picker.",
    fix="Load a model, and give it one name (--served-model-name, --alias).",
    needed_for=tuple(Use),
)
def listed(endpoint: Endpoint) -> str:
    entries = _entries(endpoint)
    names = [entry.get("id") for entry in entries]
    expect(names, "the list is empty")
    expect(all(isinstance(n, str) and n for n in names), f"a model without a name: {names}")
    expect(len(set(map(str, names))) == len(names), f"two models of one name: {names}")
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
    expect(not wrong, f"object is not 'model' at: {wrong}")
    return "as OpenAI's"


@table.check(
    "unknown-model",
    "A chat with a model that is not served is refused with 404 or 400.",
    why="Answered by another model, a mistyped name goes unnoticed and its limits are wrong.",
    fix="Check the model's name; Stoker's gateway does.",
    helps=_CHAT,
)
def unknown_model(endpoint: Endpoint) -> str:
    reply = endpoint.chat("Hi", model="stoker-check-no-such-model", max_tokens=1)
    if reply.ok:
        raise Failed(f"answered all the same, as {reply.json().get('model')!r}")
    expect(reply.status in (400, 404), f"status {reply.status}: {reply.text}")
    return f"status {reply.status}: {error_message(reply)[:120]}"


@table.check(
    "reply-name",
    "An answer names the model that was asked.",
    why="Editors show and log which model answered.",
    fix="Send the served name back in `model`.",
)
def reply_name(endpoint: Endpoint) -> str:
    named = answered(endpoint.said).get("model")
    expect(named == endpoint.model, f"asked {endpoint.model!r}, answered as {named!r}")
    return str(named)


@table.check(
    "context-advertised",
    "The server says how long its context is.",
    why="Without it the editor guesses, and long conversations fail or are cut needlessly.",
    fix="Put `max_model_len` into /v1/models, as vLLM and Stoker's gateway do.",
    helps=_CHAT,
)
def context_advertised(endpoint: Endpoint) -> str:
    return f"{endpoint.known_window():,} tokens"


@table.check(
    "context-end",
    "A prompt longer than the advertised context is refused, not cut silently.",
    why="A silent cut loses the system prompt or the question, and nobody learns of it.",
    fix="Refuse with 400, or advertise the true context.",
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
    f"A prompt of 92% of the advertised context, or {MOST_PROMPT_TOKENS:,} tokens, is read whole.",
    why="An editor fills the context that it is told of; if it is shorter, answers fail or the "
    "beginning of the conversation is silently lost.",
    fix="Advertise the context that one request really gets (llama.cpp shares it among its slots; "
    "Ollama cuts at num_ctx).",
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
            f"{tokens:,} tokens were not refused, and not read after {limit_s:.0f} s; "
            "--timeout gives them longer"
        )
    expect(reply.ok, f"{tokens:,} of {window:,} tokens were refused: {error_message(reply)}")
    read = usage(reply.json())["prompt_tokens"]
    expect(
        read >= tokens * _TRUNCATED_SHARE,
        f"of {tokens:,} tokens only {read:,} were read: the rest was cut off silently",
    )
    beyond = "" if tokens == nearly else "; more was not probed"
    return f"{read:,} of {window:,} tokens were read in {reply.elapsed_s:.1f} s{beyond}"


def _long(endpoint: Endpoint, tokens: int, limit_s: float) -> Reply | None:
    """The answer to a prompt of so many tokens; ``None`` where it is still being read."""
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
