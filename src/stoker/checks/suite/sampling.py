"""Stop sequences, seeds, log probabilities and several choices."""

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
    why="Inline completion ends at a line or block this way.",
    fix="Cut the answer before the stop sequence, and set finish_reason to `stop`.",
    needed_for=(Use.COMPLETION,),
)
def stop(endpoint: Endpoint) -> str:
    sequence = _frequent(endpoint)
    answer = answered(endpoint.chat(_COUNT, max_tokens=48, stop=[sequence]))
    expect(sequence not in content(answer), f"the answer contains {sequence!r}")
    reason = choice(answer).get("finish_reason")
    expect(reason == "stop", f"finish_reason is {reason!r}")
    return f"ended before {sequence!r}"


@table.check(
    "stop-stream",
    "A stream ends before a stop sequence too.",
    why="Once part of a stop sequence has been sent, it can't be taken back.",
    fix="Hold back text that may be the beginning of a stop sequence.",
    helps=(Use.COMPLETION,),
)
def stop_stream(endpoint: Endpoint) -> str:
    sequence = _frequent(endpoint)
    reply = accepted(endpoint.stream(_COUNT, max_tokens=48, stop=[sequence]))
    expect(sequence not in text_of(reply), f"the stream contains {sequence!r}")
    expect(finish_of(reply) == "stop", f"finish_reason is {finish_of(reply)!r}")
    return f"ended before {sequence!r}"


def _frequent(endpoint: Endpoint) -> str:
    """Two characters of the answer, taken from the same answer without a stop sequence."""
    text = content(answered(endpoint.chat(_COUNT, max_tokens=48)))
    if len(text) < 12:
        raise NotSupported("the model's answer is too short to be stopped")
    return text[8:10]


@table.check(
    "seed",
    "The same seed gives the same answer.",
    why="A bad answer can then be reproduced.",
    fix="Use the seed; answers may still differ while other requests share the batch.",
)
def seed(endpoint: Endpoint) -> str:
    texts = []
    for _ in range(2):
        reply = optional(endpoint.chat(LONG, temperature=1, seed=4711, max_tokens=12))
        answer = message(answered(reply))
        texts.append(str(answer.get("content") or "") + thought(answer))
    expect(texts[0] == texts[1], "two answers differ")
    return "two answers are the same"


@table.check(
    "logprobs",
    "`logprobs` returns log probabilities with the answer.",
    why="Tools that measure a model's confidence need them.",
    fix="Optional. llama.cpp and vLLM have them.",
)
def logprobs(endpoint: Endpoint) -> str:
    reply = optional(endpoint.chat("Hi", max_tokens=2, logprobs=True, top_logprobs=2))
    found = (choice(answered(reply)).get("logprobs") or {}).get("content")
    if not found:
        raise NotSupported("the answer has no log probabilities")
    expect(all(item.get("logprob", 1) <= 1e-6 for item in found), "a log probability is above 0")
    return f"for {len(found)} tokens"


@table.check(
    "n",
    "`n: 2` gives two choices.",
    why="Some clients show alternatives.",
    fix="Optional. Refuse it with 400 where it is not supported; do not silently return one.",
)
def several(endpoint: Endpoint) -> str:
    answer = answered(optional(endpoint.chat("Hi", max_tokens=2, n=2, temperature=1)))
    count = len(answer.get("choices") or [])
    expect(count == 2, f"{count} choice, without an error")
    return "2 choices"
