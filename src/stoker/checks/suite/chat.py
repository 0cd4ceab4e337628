"""Plain chat requests, as editors send them."""

from __future__ import annotations

import json

from stoker.checks.check import Table, Use
from stoker.checks.target import (
    CHAT,
    Endpoint,
    answered,
    choice,
    content,
    expect,
    message,
    thought,
    usage,
    user,
)

table = Table("chat", "Chat")
_CHAT = (Use.CHAT, Use.AGENT, Use.COMMIT)
_TEXT = "Größe 日本語 🙂 — “quoted”"


@table.check(
    "answers",
    "A question gets an answer.",
    why="Nothing else works without it.",
    fix="See the server's log (`stoker logs`); a missing chat template is the usual cause.",
    needed_for=_CHAT,
)
def answers(endpoint: Endpoint) -> str:
    reply = message(answered(endpoint.sample))
    expect(reply.get("content") or thought(reply), "the answer is empty")
    return f"in {endpoint.sample.elapsed_s:.1f} s"


@table.check(
    "shape",
    "An answer has an id, the object `chat.completion`, a role and a finish reason.",
    why="Client libraries check these and fail without them.",
    fix="Answer in OpenAI's shape.",
    helps=_CHAT,
)
def shape(endpoint: Endpoint) -> str:
    answer = answered(endpoint.sample)
    expect(isinstance(answer.get("id"), str) and answer["id"], "the answer has no id")
    expect(answer.get("object") == "chat.completion", f"object is {answer.get('object')!r}")
    expect(isinstance(answer.get("created"), int), "created is not an integer")
    expect(message(answer).get("role") == "assistant", f"role is {message(answer).get('role')!r}")
    reason = choice(answer).get("finish_reason")
    expect(reason in ("stop", "length"), f"finish_reason is {reason!r}")
    return f"finish_reason {reason!r}"


@table.check(
    "system",
    "A system message is accepted and reaches the model.",
    why="Every editor puts its instructions there.",
    fix="Use a chat template that renders the system role.",
    needed_for=_CHAT,
)
def system(endpoint: Endpoint) -> str:
    bare = usage(answered(endpoint.chat("Hi", max_tokens=1)))["prompt_tokens"]
    order = {"role": "system", "content": "Answer in French. " * 20}
    full = usage(answered(endpoint.chat([order, user("Hi")], max_tokens=1)))["prompt_tokens"]
    expect(full >= bare + 20, f"{bare} prompt tokens without it, {full} with it: it was dropped")
    return f"{full - bare} more prompt tokens"


@table.check(
    "turns",
    "Earlier turns of a conversation reach the model.",
    why="Editors send the whole conversation with each question.",
    fix="Use a chat template that renders every message.",
    needed_for=(Use.CHAT, Use.AGENT),
)
def turns(endpoint: Endpoint) -> str:
    last = user("And now?")
    past = [user("My name is Ann. " * 10), {"role": "assistant", "content": "Hello Ann. " * 10}]
    alone = usage(answered(endpoint.chat([last], max_tokens=1)))["prompt_tokens"]
    whole = usage(answered(endpoint.chat([*past, last], max_tokens=1)))["prompt_tokens"]
    expect(whole >= alone + 40, f"{alone} prompt tokens alone, {whole} with earlier turns")
    return f"{whole - alone} more prompt tokens"


@table.check(
    "parts",
    "A message as a list of text parts counts as the same text.",
    why="VS Code sends messages as lists of parts.",
    fix="Join the texts of the parts; old templates print the list itself.",
    needed_for=(Use.CHAT, Use.AGENT),
)
def parts(endpoint: Endpoint) -> str:
    text = "Tell me what a list of parts is."
    listed = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    one = usage(answered(endpoint.chat(text, max_tokens=1)))["prompt_tokens"]
    two = usage(answered(endpoint.chat(listed, max_tokens=1)))["prompt_tokens"]
    expect(abs(one - two) <= 2, f"{one} prompt tokens as a text, {two} as a list")
    return f"{two} prompt tokens either way"


@table.check(
    "unicode",
    "Text beyond ASCII is read the same, escaped or as UTF-8.",
    why="Some clients escape it and others do not; in a wrong encoding, code is garbled.",
    fix="Decode the request's body as UTF-8.",
    needed_for=(Use.CHAT, Use.AGENT),
)
def unicode(endpoint: Endpoint) -> str:
    body = endpoint.ask(f"Repeat: {_TEXT * 4}", max_tokens=1)
    counts = [
        usage(answered(endpoint.post(CHAT, json.dumps(body, ensure_ascii=escaped).encode())))
        for escaped in (True, False)
    ]
    escaped, raw = (count["prompt_tokens"] for count in counts)
    expect(escaped == raw, f"{escaped} prompt tokens escaped, {raw} as UTF-8")
    return f"{raw} prompt tokens either way"


@table.check(
    "unknown-fields",
    "A field that the server does not know is ignored.",
    why="Editors send their own fields and those of newer versions of the API.",
    fix="Ignore unknown fields instead of refusing the request.",
    helps=_CHAT,
)
def unknown_fields(endpoint: Endpoint) -> str:
    answered(endpoint.chat("Hi", max_tokens=1, stoker_check={"a": [1]}, store=False))
    return "ignored"


@table.check(
    "empty-fields",
    "An optional field that is null is treated as absent.",
    why="Client libraries send null for fields that are not set.",
    fix="Treat null as absent.",
    helps=_CHAT,
)
def empty_fields(endpoint: Endpoint) -> str:
    body = {**endpoint.ask("Hi", max_tokens=1), "stop": None, "seed": None, "tools": None}
    answered(endpoint.post(CHAT, {**body, "response_format": None, "stream_options": None}))
    return "ignored"


@table.check(
    "commit-message",
    "A diff is answered with a short text.",
    why="An editor sends a diff to get a commit message.",
    fix="See chat.answers.",
    needed_for=(Use.COMMIT,),
)
def commit_message(endpoint: Endpoint) -> str:
    diff = (
        "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n"
        "-print('helo')\n+print('hello')\n"
    )
    order = {"role": "system", "content": "Write a commit message of one line for the diff."}
    answer = answered(endpoint.chat([order, user(diff)], max_tokens=48))
    expect(content(answer) or thought(message(answer)), "the answer is empty")
    return f"{usage(answer)['completion_tokens']} tokens"
