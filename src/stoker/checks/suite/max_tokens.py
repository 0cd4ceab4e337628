"""Limits of the answer's length, and requests at the edge of the context window."""

from __future__ import annotations

import re

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
from stoker.checks.raw_http import CANCELLED
from stoker.checks.target import (
    LONG,
    Endpoint,
    accepted,
    after_pieces,
    answered,
    choice,
    deltas,
    error_message,
    expect,
    finish_of,
)

table = Table("budget", "Budgets")
_CHAT = (Use.CHAT, Use.AGENT, Use.COMMIT)
#: An answer of this many events was not cut at a small default (16 or 20 tokens are usual).
_ENOUGH_EVENTS = 40
#: A refusal comes at once, except from a busy server.
_REFUSED_WITHIN_S = 30.0


@table.check(
    "one",
    "`max_tokens: 1` gives one token and the finish reason `length`.",
    why="Editors ask for one token to see whether a model is available.",
    fix="Accept every `max_tokens` from 1.",
    helps=_CHAT,
)
def one(endpoint: Endpoint) -> str:
    reason = choice(answered(endpoint.chat(LONG, max_tokens=1))).get("finish_reason")
    expect(reason == "length", f"finish_reason is {reason!r}")
    return "length"


@table.check(
    "zero",
    "`max_tokens: 0` is refused or gives an empty answer; it does not mean unlimited.",
    why="A client that computes 0 must not start an endless answer.",
    fix="Refuse it with 400, as OpenAI does.",
)
def zero(endpoint: Endpoint) -> str:
    reply = endpoint.stream(LONG, max_tokens=0, until=after_pieces(12))
    if reply.refused:
        return f"refused with status {reply.status}"
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    written = [delta for delta in deltas(reply) if delta.get("content")]
    expect(len(written) <= 1, "it generated as if there were no limit")
    return "an empty answer"


@table.check(
    "whole-window",
    "`max_tokens` as large as the context window is accepted.",
    why="Some editors ask for the whole window, whatever the prompt takes of it.",
    fix="Put Stoker's gateway in front: it lowers `max_tokens` to what the prompt leaves.",
    helps=_CHAT,
)
def whole_window(endpoint: Endpoint) -> str:
    tokens = endpoint.known_window()
    accepted(endpoint.stream(LONG, max_tokens=tokens, until=after_pieces(4)))
    return f"{tokens:,} tokens were accepted"


@table.check(
    "over-window",
    "`max_tokens` larger than the context window is accepted, or refused with a reason.",
    why="A setting made for another model may be too large; the user needs to see why it fails.",
    fix="Lower it to what is left, as Stoker's gateway does, or answer 400 with the limit.",
    helps=_CHAT,
)
def over_window(endpoint: Endpoint) -> str:
    tokens = endpoint.known_window() + 1
    reply = endpoint.stream(LONG, max_tokens=tokens, until=after_pieces(4))
    if reply.refused:
        expect(len(error_message(reply)) > 10, f"status {reply.status} without a reason")
        return f"refused with status {reply.status}"
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    return "answered"


@table.check(
    "overflow",
    "A prompt longer than the context window is refused soon, with 400 and both lengths.",
    why="The editor shows this text; with the numbers, the user can shorten the prompt.",
    fix="Put the length of the prompt and the limit into the error's message.",
    helps=_CHAT,
)
def overflow(endpoint: Endpoint) -> str:
    tokens = endpoint.too_much()
    reply = endpoint.post(
        "/v1/chat/completions",
        endpoint.ask(endpoint.filler(tokens), max_tokens=1),
        limit_s=_REFUSED_WITHIN_S,
    )
    if reply.ok:
        raise NotSupported("the server refuses no prompt for its length; see models.context-end")
    expect(reply.status in (400, 413, 422), f"status {reply.status}: {reply.text}")
    text = error_message(reply)
    expect(re.search(r"\d{2,}", text), f"no numbers in: {text[:160]}")
    about_length = re.search(r"context|token|length|long", text, re.IGNORECASE)
    expect(about_length, f"the message does not mention the length: {text[:160]}")
    return text[:160]


@table.check(
    "new-name",
    "`max_completion_tokens` limits the answer.",
    why="It is OpenAI's new name for `max_tokens`; current clients send it.",
    fix="Accept it as an alias of `max_tokens`.",
    helps=_CHAT,
)
def new_name(endpoint: Endpoint) -> str:
    reply = accepted(
        endpoint.stream(
            LONG,
            max_tokens=None,
            max_completion_tokens=3,
            until=after_pieces(_ENOUGH_EVENTS),
        )
    )
    written = [delta for delta in deltas(reply) if delta.get("content")]
    expect(len(written) <= 6, "the answer is longer than 3 tokens")
    return "3 tokens"


@table.check(
    "unset",
    "Without `max_tokens` an answer is not cut after a few tokens.",
    why="Editors leave it out and expect the complete answer.",
    fix="By default, let the answer use what is left of the context window.",
    helps=_CHAT,
)
def unset(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.stream(LONG, max_tokens=None, until=after_pieces(_ENOUGH_EVENTS)))
    if finish_of(reply) == "length":
        written = sum(1 for delta in deltas(reply) if delta.get("content"))
        raise Failed(f"cut after {written} pieces")
    return "it went on" if reply.cut == CANCELLED else "it ended by itself"
