"""How much may be asked for, and what happens at the edges of the window."""

from __future__ import annotations

import re

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
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
#: Enough of an answer to see that it was not cut at a small default (16 or 20 tokens are usual).
_ENOUGH_EVENTS = 40
#: A refusal comes at once; this is for a server that is busy.
_REFUSED_WITHIN_S = 30.0


@table.check(
    "one",
    "`max_tokens: 1` gives one token and says `length`.",
    why="Editors ask for one token to see whether a model is there.",
    fix="Take any `max_tokens` from 1.",
    helps=_CHAT,
)
def one(endpoint: Endpoint) -> str:
    reason = choice(answered(endpoint.chat(LONG, max_tokens=1))).get("finish_reason")
    expect(reason == "length", f"finish_reason is {reason!r}")
    return "length"


@table.check(
    "zero",
    "`max_tokens: 0` is refused or gives nothing; it never means without end.",
    why="A client whose sums come to 0 must not start an answer without end.",
    fix="Refuse it with 400, as OpenAI does.",
)
def zero(endpoint: Endpoint) -> str:
    reply = endpoint.stream(LONG, max_tokens=0, until=after_pieces(12))
    if reply.refused:
        return f"refused with status {reply.status}"
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    written = [delta for delta in deltas(reply) if delta.get("content")]
    expect(len(written) <= 1, "it wrote on as if there were no limit")
    return "nothing was written"


@table.check(
    "whole-window",
    "`max_tokens` of the whole context is answered.",
    why="Editors ask for all that the model may write, whatever the prompt takes of it.",
    fix="Put Stoker's gateway in front: it lowers `max_tokens` to what is left.",
    helps=_CHAT,
)
def whole_window(endpoint: Endpoint) -> str:
    tokens = endpoint.known_window()
    accepted(endpoint.stream(LONG, max_tokens=tokens, until=after_pieces(4)))
    return f"{tokens:,} tokens were asked for"


@table.check(
    "over-window",
    "`max_tokens` of more than the context is answered, or refused in words.",
    why="A setting made for another model asks for too much; an answer without words helps nobody.",
    fix="Lower it to what is left, as Stoker's gateway does, or answer 400 with the limit.",
    helps=_CHAT,
)
def over_window(endpoint: Endpoint) -> str:
    tokens = endpoint.known_window() + 1
    reply = endpoint.stream(LONG, max_tokens=tokens, until=after_pieces(4))
    if reply.refused:
        expect(len(error_message(reply)) > 10, f"status {reply.status} without words")
        return f"refused with status {reply.status}"
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    return "answered"


@table.check(
    "overflow",
    "A prompt over the context is refused with 400, words and numbers, and soon.",
    why="The editor shows this text; with the numbers, it or its user can shorten the prompt.",
    fix="Say in the error how long the prompt is and how long it may be.",
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
        raise NotSupported("nothing is refused for its length here; see models.context-end")
    expect(reply.status in (400, 413, 422), f"status {reply.status}: {reply.text}")
    said = error_message(reply)
    expect(re.search(r"\d{2,}", said), f"no numbers in: {said[:160]}")
    expect(re.search(r"context|token|length|long", said, re.IGNORECASE), f"it says: {said[:160]}")
    return said[:160]


@table.check(
    "new-name",
    "`max_completion_tokens` limits the answer.",
    why="It is OpenAI's newer name; current clients send it.",
    fix="Take it as another name of `max_tokens`.",
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
    expect(len(written) <= 6, "the answer went on beyond 3 tokens")
    return "3 tokens"


@table.check(
    "unset",
    "Without `max_tokens` an answer is not cut after a few tokens.",
    why="Editors leave it out and expect the whole answer.",
    fix="Let the answer use what is left of the context by default.",
    helps=_CHAT,
)
def unset(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.stream(LONG, max_tokens=None, until=after_pieces(_ENOUGH_EVENTS)))
    if finish_of(reply) == "length":
        written = sum(1 for delta in deltas(reply) if delta.get("content"))
        raise Failed(f"cut after {written} pieces")
    return "it wrote on" if reply.cut == "left" else "it came to its own end"
