"""Whether token counts are exact and agree with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
from stoker.checks.target import (
    LONG,
    Endpoint,
    accepted,
    answered,
    choice,
    expect,
    stream_usage,
    usage,
)

table = Table("usage", "Token counts")
_CHAT = (Use.CHAT, Use.AGENT)
_QUESTION = "Write a function größe(x) that returns x + 1.\n\n\tUse `def`."
#: Paths on which servers count the tokens of a chat, and the name of the count in the answer.
_COUNTERS = (
    ("/tokenize", "count"),
    ("/v1/tokenize", "count"),
    ("/v1/chat/completions/input_tokens", "input_tokens"),
)
_TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a file of the workspace and return its text.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string", "description": "Where it is."}},
            "required": ["path"],
        },
    },
}


@table.check(
    "adds-up",
    "`total_tokens` is the sum of prompt and completion tokens.",
    why="Editors use it to show how full the context window is.",
    fix="Count what was sent to the model and what it generated.",
    helps=_CHAT,
)
def adds_up(endpoint: Endpoint) -> str:
    counts = usage(answered(endpoint.sample))
    total = counts["prompt_tokens"] + counts["completion_tokens"]
    expect(counts.get("total_tokens") == total, f"the usage is {counts}")
    return f"{total} tokens"


@table.check(
    "completion-exact",
    "An answer cut at 7 tokens is counted as 7.",
    why="Budgets, prices and speeds are computed from it.",
    fix="Count every generated token, including the last.",
    helps=_CHAT,
)
def completion_exact(endpoint: Endpoint) -> str:
    answer = answered(endpoint.chat(LONG, max_tokens=7))
    if choice(answer).get("finish_reason") != "length":
        raise NotSupported("the model ended its answer before 7 tokens")
    count = usage(answer)["completion_tokens"]
    expect(count == 7, f"{count} were counted")
    return "7 tokens"


@table.check(
    "prompt-exact",
    "The count from the tokenize endpoint equals the prompt tokens in the usage.",
    why="An editor needs an exact count to fill the context window without an error.",
    fix="Count with the chat template that builds the prompt; Stoker's gateway does.",
    helps=_CHAT,
)
def prompt_exact(endpoint: Endpoint) -> str:
    return _compare(endpoint, endpoint.ask(_QUESTION, max_tokens=1))


@table.check(
    "prompt-exact-tools",
    "The two counts are equal with tools too.",
    why="Tools are most of an agent's prompt.",
    fix="Count the tools as the chat template renders them.",
    helps=(Use.AGENT,),
)
def prompt_exact_tools(endpoint: Endpoint) -> str:
    return _compare(endpoint, endpoint.ask(_QUESTION, max_tokens=1, tools=[_TOOL]))


def _compare(endpoint: Endpoint, request: Mapping[str, Any]) -> str:
    before = _counted(endpoint, request)
    if before is None:
        raise NotSupported("the server has no endpoint that counts a chat's tokens")
    reply = endpoint.post("/v1/chat/completions", request)
    if reply.refused and "tools" in request:
        raise NotSupported(f"tools are refused with status {reply.status}")
    after = usage(answered(reply))["prompt_tokens"]
    expect(before == after, f"counted {before} before, used {after}")
    return f"{after} tokens before and after"


def _counted(endpoint: Endpoint, request: Mapping[str, Any]) -> int | None:
    for path, name in _COUNTERS:
        reply = endpoint.post(path, request)
        if not reply.ok:
            continue
        count = reply.json().get(name)
        if isinstance(count, int):
            return count
    return None


@table.check(
    "stream-same",
    "A prompt has the same count, streamed or not.",
    why="With two counts of one prompt, the displayed fill level jumps.",
    fix="Use the same code to count both.",
    helps=(Use.CHAT,),
)
def stream_same(endpoint: Endpoint) -> str:
    whole = usage(answered(endpoint.chat(_QUESTION, max_tokens=2)))["prompt_tokens"]
    options = {"include_usage": True}
    streamed = stream_usage(
        accepted(endpoint.stream(_QUESTION, max_tokens=2, stream_options=options))
    )
    if streamed is None:
        raise NotSupported("the stream has no usage; see stream.usage")
    if streamed["prompt_tokens"] != whole:
        raise Failed(f"{whole} prompt tokens, but {streamed['prompt_tokens']} when streamed")
    return f"{whole} prompt tokens"
