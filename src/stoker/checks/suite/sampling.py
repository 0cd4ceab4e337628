"""Stop sequences, seeds, log probabilities, several answers."""

from __future__ import annotations

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import NotSupported
from stoker.checks.target import (
    LONG,
    Endpoint,
    accepted,
    answered,
    choice,
    content,
    expect,
    finish_of,
    message,
    optional,
    text_of,
    thought,
)

table = Table("sampling", "Sampling")
_COUNT = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10. Now repeat that line."


@table.check(
    "stop",
    "An answer ends before a stop sequence, which is not part of it.",
    why="Inline completion stops at the end of a line or block this way.",
    fix="Cut the answer before the stop sequence, and say `stop`.",
    needed_for=(Use.COMPLETION,),
)
def stop(endpoint: Endpoint) -> str:
    sequence = _frequent(endpoint)
    answer = answered(endpoint.chat(_COUNT, max_tokens=48, stop=[sequence]))
    expect(sequence not in content(answer), f"the answer has {sequence!r} in it")
    reason = choice(answer).get("finish_reason")
    expect(reason == "stop", f"finish_reason is {reason!r}")
    return f"ended before {sequence!r}"


@table.check(
    "stop-stream",
    "A stream ends before a stop sequence too.",
    why="Part of a stop sequence that was sent already can't be taken back.",
    fix="Hold back what may be the beginning of a stop sequence.",
    helps=(Use.COMPLETION,),
)
def stop_stream(endpoint: Endpoint) -> str:
    sequence = _frequent(endpoint)
    reply = accepted(endpoint.stream(_COUNT, max_tokens=48, stop=[sequence]))
    expect(sequence not in text_of(reply), f"the stream has {sequence!r} in it")
    expect(finish_of(reply) == "stop", f"finish_reason is {finish_of(reply)!r}")
    return f"ended before {sequence!r}"


def _frequent(endpoint: Endpoint) -> str:
    """Two characters that the answer will have: taken from the same answer without a stop."""
    text = content(answered(endpoint.chat(_COUNT, max_tokens=48)))
    if len(text) < 12:
        raise NotSupported("the model's answer is too short to stop it")
    return text[8:10]


@table.check(
    "seed",
    "The same seed gives the same answer.",
    why="Reports of a bad answer can be repeated.",
    fix="Use the seed; results may still differ while other requests share the batch.",
)
def seed(endpoint: Endpoint) -> str:
    said = []
    for _ in range(2):
        reply = optional(endpoint.chat(LONG, temperature=1, seed=4711, max_tokens=12))
        answer = message(answered(reply))
        said.append(str(answer.get("content") or "") + thought(answer))
    expect(said[0] == said[1], "two answers differ")
    return "two answers are the same"


@table.check(
    "logprobs",
    "Log probabilities come with the answer where they are asked for.",
    why="Tools that judge how sure a model is need them.",
    fix="Optional. llama.cpp and vLLM have them.",
)
def logprobs(endpoint: Endpoint) -> str:
    reply = optional(endpoint.chat("Hi", max_tokens=2, logprobs=True, top_logprobs=2))
    found = (choice(answered(reply)).get("logprobs") or {}).get("content")
    if not found:
        raise NotSupported("the answer has none")
    expect(all(item.get("logprob", 1) <= 1e-6 for item in found), "a log probability above 0")
    return f"{len(found)} tokens with theirs"


@table.check(
    "n",
    "`n: 2` gives two answers.",
    why="Some clients offer alternatives.",
    fix="Optional. Refuse it with 400 where it is not there; do not answer one as if nothing were.",
)
def several(endpoint: Endpoint) -> str:
    answer = answered(optional(endpoint.chat("Hi", max_tokens=2, n=2, temperature=1)))
    count = len(answer.get("choices") or [])
    expect(count == 2, f"{count} answer, and no word about it")
    return "2 answers"
