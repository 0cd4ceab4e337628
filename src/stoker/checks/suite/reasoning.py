"""Reasoning: what a model thinks must not be in its answer."""

from __future__ import annotations

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import NotSupported
from stoker.checks.target import (
    Endpoint,
    accepted,
    answered,
    deltas,
    expect,
    message,
    text_of,
    thought,
)

table = Table("reasoning", "Reasoning")
#: What chat templates put around reasoning: Qwen and DeepSeek, gpt-oss, Kimi.
_MARKS = ("<think>", "</think>", "<|channel|>", "◁think▷")


@table.check(
    "apart",
    "What a model thinks comes apart from what it says.",
    why="Otherwise the thoughts are shown as the answer, and sent back with every turn.",
    fix="vLLM: --reasoning-parser NAME. llama.cpp: --reasoning-format.",
    helps=(Use.CHAT, Use.AGENT, Use.COMMIT),
)
def apart(endpoint: Endpoint) -> str:
    said = message(answered(endpoint.chat("Is 91 a prime number?", max_tokens=64)))
    return _apart(str(said.get("content") or ""), thought(said))


@table.check(
    "apart-stream",
    "It does in a stream too.",
    why="A stream is what is shown.",
    fix="As for reasoning.apart.",
    helps=(Use.CHAT, Use.AGENT),
)
def apart_stream(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.stream("Is 91 a prime number?", max_tokens=64))
    return _apart(text_of(reply), "".join(map(thought, deltas(reply))))


def _apart(text: str, thoughts: str) -> str:
    mark = next((mark for mark in _MARKS if mark in text), None)
    expect(mark is None, f"{mark} stands in the answer")
    if not thoughts:
        raise NotSupported("the model does not think aloud")
    return f"{len(thoughts)} characters of thought, apart"
