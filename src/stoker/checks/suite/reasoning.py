"""Reasoning: it must be separate from the answer."""

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
    "A model's reasoning is separate from its answer.",
    why="Otherwise the reasoning is shown as the answer, and sent back with every turn.",
    fix="vLLM: --reasoning-parser NAME. llama.cpp: --reasoning-format.",
    helps=(Use.CHAT, Use.AGENT, Use.COMMIT),
)
def apart(endpoint: Endpoint) -> str:
    reply = message(answered(endpoint.chat("Is 91 a prime number?", max_tokens=64)))
    return _apart(str(reply.get("content") or ""), thought(reply))


@table.check(
    "apart-stream",
    "In a stream, reasoning is separate from the answer too.",
    why="Editors show the stream as it arrives.",
    fix="See reasoning.apart.",
    helps=(Use.CHAT, Use.AGENT),
)
def apart_stream(endpoint: Endpoint) -> str:
    reply = accepted(endpoint.stream("Is 91 a prime number?", max_tokens=64))
    return _apart(text_of(reply), "".join(map(thought, deltas(reply))))


def _apart(text: str, thoughts: str) -> str:
    mark = next((mark for mark in _MARKS if mark in text), None)
    expect(mark is None, f"the answer contains {mark}")
    if not thoughts:
        raise NotSupported("the model returned no reasoning")
    return f"{len(thoughts)} characters of reasoning, separate"
