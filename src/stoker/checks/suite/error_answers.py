"""Refusals: their status and their format."""

from __future__ import annotations

import json

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed
from stoker.checks.raw_http import Reply
from stoker.checks.target import CHAT, Endpoint, error_message, expect

table = Table("errors", "Errors")
_CHAT = (Use.CHAT, Use.AGENT)


@table.check(
    "format",
    "A refusal is JSON with `error.message`.",
    why="The editor shows this text; without it the user sees only a status.",
    fix='Answer {"error": {"message": ..., "type": ..., "code": ...}}.',
    helps=_CHAT,
)
def form(endpoint: Endpoint) -> str:
    reply = endpoint.post(CHAT, {"model": endpoint.model})
    try:
        error = json.loads(reply.body).get("error")
    except (ValueError, AttributeError):
        raise Failed(f"status {reply.status} without `error.message`: {reply.text}") from None
    expect(
        isinstance(error, dict) and isinstance(error.get("message"), str) and error["message"],
        f"the refusal is {reply.text}",
    )
    return error_message(reply)[:120]


@table.check(
    "bad-json",
    "A body that is not JSON is refused with 400.",
    why="A status of 500 makes clients retry for ever.",
    fix="Answer invalid JSON with 400.",
)
def bad_json(endpoint: Endpoint) -> str:
    return _bad(endpoint.post(CHAT, b'{"model": '))


@table.check(
    "no-messages",
    "A chat without messages is refused with 400.",
    why="A status of 500 looks like a broken server instead of a broken request.",
    fix="Validate the request before it runs.",
)
def no_messages(endpoint: Endpoint) -> str:
    return _bad(endpoint.post(CHAT, {"model": endpoint.model, "max_tokens": 1}))


@table.check(
    "wrong-type",
    "A field of the wrong type is refused with 400.",
    why="If it is answered anyway, a wrong setting goes unnoticed.",
    fix="Validate the types of the fields.",
)
def wrong_type(endpoint: Endpoint) -> str:
    return _bad(endpoint.post(CHAT, endpoint.ask("Hi", max_tokens="many")))


def _bad(reply: Reply) -> str:
    expect(reply.status in (400, 422), f"status {reply.status}: {reply.text}")
    return f"status {reply.status}: {error_message(reply)[:100]}"
