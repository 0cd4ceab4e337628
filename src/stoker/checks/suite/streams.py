"""Streamed answers: their format on the wire, byte by byte."""

from __future__ import annotations

import json
from typing import Any

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
from stoker.checks.raw_http import Reply
from stoker.checks.target import (
    LONG,
    Endpoint,
    accepted,
    deltas,
    expect,
    finish_of,
    stream_usage,
    text_of,
    thought,
)

table = Table("stream", "Streaming")
_CHAT = (Use.CHAT, Use.AGENT)
_TEXT = "日本語 größe 🙂 👩‍💻 Привет"
#: The pieces of an answer must arrive over at least this share of its time.
_SPREAD_SHARE = 0.1
_ENOUGH_EVENTS = 8


@table.check(
    "framing",
    "A stream is `text/event-stream`: `data:` lines of JSON, each followed by an empty line.",
    why="Editors read events line by line; anything else breaks the answer.",
    fix="Send server-sent events, and turn off whatever rewrites them (compression, proxy caches).",
    needed_for=_CHAT,
)
def framing(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.sample_stream)
    expect(reply.is_events, f"the content type is {reply.headers.get('content-type')!r}")
    expect(not reply.cut, f"the stream is incomplete: {reply.cut}")
    body = reply.body.replace(b"\r\n", b"\n")
    expect(body.endswith(b"\n\n"), "no empty line follows the last event")
    for event in filter(None, body.split(b"\n\n")):
        _check_event(event.strip(b"\n"))
    return f"{len(reply.data())} events"


def _check_event(event: bytes) -> None:
    lines = event.split(b"\n")
    data = [line for line in lines if line.startswith(b"data:")]
    expect(
        all(line.startswith((b"data:", b":", b"event:", b"id:", b"retry:")) for line in lines),
        f"a line is not part of an event: {event[:80]!r}",
    )
    expect(len(data) <= 1, f"an event has two `data:` lines: {event[:80]!r}")
    if data and data[0] != b"data: [DONE]" and data[0] != b"data:[DONE]":
        try:
            json.loads(data[0][5:].decode("utf-8", errors="replace"))
        except ValueError:
            raise Failed(f"an event is not JSON: {event[:80]!r}") from None


@table.check(
    "done",
    "A stream ends with `data: [DONE]`, once, and with nothing after it.",
    why="Without it an editor can't distinguish a complete answer from a truncated one.",
    fix="Send `data: [DONE]` last.",
    helps=_CHAT,
)
def done(endpoint: Endpoint) -> str:
    data = accepted(endpoint.sample_stream).data()
    expect(b"[DONE]" in data, "the stream ends without [DONE]")
    expect(data.count(b"[DONE]") == 1, "[DONE] comes more than once")
    expect(data[-1] == b"[DONE]", "events come after [DONE]")
    return f"after {len(data) - 1} events"


@table.check(
    "content",
    "The events of a stream carry text.",
    why="The editor shows this text as it arrives.",
    fix="Send the text in `choices[0].delta.content`.",
    needed_for=_CHAT,
)
def has_content(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.sample_stream)
    expect(text_of(reply) or any(map(thought, deltas(reply))), "the stream has no text")
    return f"{len(text_of(reply))} characters"


@table.check(
    "order",
    "The role comes first, then text, then one finish reason, all under one id.",
    why="Editors build a message in this order; another finish reason or id starts a new one.",
    fix="Send `finish_reason` only in the last event of a choice, and the same id in all events.",
    helps=_CHAT,
)
def order(endpoint: Endpoint) -> str:
    chunks = [c for c in accepted(endpoint.sample_stream).chunks() if c.get("choices")]
    expect(chunks, "the stream has no choices")
    ids = {chunk.get("id") for chunk in chunks}
    expect(len(ids) == 1, f"{len(ids)} different ids")
    parts = [chunk["choices"][0] for chunk in chunks]
    expect(_delta(parts[0]).get("role") == "assistant", "the first event has no role")
    finished = [index for index, part in enumerate(parts) if part.get("finish_reason")]
    expect(len(finished) == 1, f"{len(finished)} finish reasons")
    later = [part for part in parts[finished[0] + 1 :] if _delta(part).get("content")]
    expect(not later, "text after the finish reason")
    return f"finish_reason {parts[finished[0]]['finish_reason']!r}"


def _delta(part: dict[str, Any]) -> dict[str, Any]:
    found = part.get("delta")
    return found if isinstance(found, dict) else {}


@table.check(
    "usage",
    "With `stream_options.include_usage` the stream reports its token counts.",
    why="Editors use them to show how full the context window is.",
    fix="Send an event with empty `choices` and the `usage` before `[DONE]`.",
    helps=_CHAT,
)
def has_usage(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.sample_stream)
    found = stream_usage(reply)
    if found is None:
        raise Failed("the stream has no usage")
    with_usage = [c for c in reply.chunks() if isinstance(c.get("usage"), dict)]
    expect(with_usage[-1] is not None and with_usage[-1] == reply.chunks()[-1], "usage is not last")
    return f"{found['prompt_tokens']} prompt and {found['completion_tokens']} completion tokens"


@table.check(
    "no-stray-usage",
    "Without that option every event has a choice.",
    why="Clients that did not ask for usage read `choices[0]` of every event, and fail without it.",
    fix="Send the usage event only to clients that asked for it.",
    helps=_CHAT,
)
def no_stray_usage(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.stream("Hi", max_tokens=4))
    empty = [chunk for chunk in reply.chunks() if not chunk.get("choices")]
    expect(not empty, f"an event has no choices: {str(empty[:1])[:120]}")
    return "every event has one"


@table.check(
    "utf8",
    "Characters of several bytes arrive intact.",
    why="A token may be half a character; sent as it is, umlauts, CJK and emoji become \ufffd.",
    fix="Hold the bytes of a character back until it is complete, in the server and every proxy.",
    needed_for=_CHAT,
)
def utf8(endpoint: Endpoint) -> str:
    reply = _in_many_scripts(endpoint)
    try:
        reply.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failed(f"byte {error.start} of the stream is not UTF-8") from None
    text = text_of(reply)
    expect("\ufffd" not in text, "a character arrived as \ufffd")
    beyond = sum(1 for character in text if ord(character) > 127)
    return f"{beyond} characters beyond ASCII, all intact"


def _in_many_scripts(endpoint: Endpoint) -> Reply:
    """A stream of such characters: forced with a schema where possible, else requested in words."""
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string", "enum": [_TEXT]}},
        "required": ["text"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "echo", "schema": schema}}
    question = f"Repeat exactly, and nothing else: {_TEXT}"
    reply = endpoint.stream(question, max_tokens=96, response_format=form)
    if reply.ok and any(ord(character) > 127 for character in text_of(reply)):
        return reply
    return accepted(endpoint.stream(question, max_tokens=64))


@table.check(
    "pieces",
    "Pieces arrive while the answer is generated, not all at its end.",
    why="Users read along; a buffered stream looks like a hang.",
    fix="Turn off buffering in the proxy in front (nginx: `proxy_buffering off`).",
    helps=_CHAT,
)
def pieces(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.sample_stream)
    expect(len(reply.pieces) > 1, f"all {len(reply.body)} bytes came at once")
    if len(deltas(reply)) < _ENOUGH_EVENTS:
        raise NotSupported("the answer is too short for this check")
    spread_s = reply.pieces[-1][0] - reply.pieces[0][0]
    expect(
        spread_s >= reply.elapsed_s * _SPREAD_SHARE,
        f"the answer took {reply.elapsed_s:.2f} s, and all pieces came within {spread_s:.3f} s",
    )
    return f"{len(reply.pieces)} pieces over {spread_s:.2f} s"


@table.check(
    "finish-length",
    "A stream that reaches `max_tokens` has the finish reason `length`.",
    why="The editor offers to continue an answer that was cut.",
    fix="Set finish_reason to `length` where the limit ended the answer.",
    helps=(Use.CHAT,),
)
def finish_length(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.stream(LONG, max_tokens=4))
    reason = finish_of(reply)
    expect(reason == "length", f"finish_reason is {reason!r} after 4 tokens of a long answer")
    return "length"


@table.check(
    "refusal",
    "A bad request for a stream is refused with a status, not inside a stream.",
    why="An editor looks at the status first; an error inside a stream of status 200 is shown "
    "as an empty answer.",
    fix="Validate the request before the stream begins.",
    helps=_CHAT,
)
def refusal(endpoint: Endpoint) -> str:
    reply = endpoint.post(
        "/v1/chat/completions", {"model": endpoint.model, "messages": "none", "stream": True}
    )
    expect(400 <= reply.status < 500, f"status {reply.status}: {reply.text}")
    return f"status {reply.status}"
