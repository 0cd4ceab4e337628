"""Several answers to one request: the tokens of all of them are counted.

The servers answer as llama.cpp b11549 does: a whole answer reports its first choice alone, and a
stream each choice by itself. Seen with ``n`` 1 to 3, and with lists of prompts.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import DONE, Call, Reply, answer, event, gateway_with

from stoker.gateway.relay import answer_conversion

ASK = [{"role": "user", "content": "hi"}]
LOOK = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
PROMPT_TOKENS = 31
#: The tokens of each choice.
WRITTEN = (13, 4, 9)


def _usage(tokens: int) -> dict[str, int]:
    total = PROMPT_TOKENS + tokens
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": total}


def _chat(index: int) -> list[bytes]:
    parts: list[dict[str, Any]] = [
        {"index": index, "delta": {"role": "assistant", "content": None}, "finish_reason": None},
        {
            "index": index,
            "delta": {"content": f"answer {index}"},
            "logprobs": {"content": [{"token": f"answer {index}"}]},
            "finish_reason": None,
        },
        {"index": index, "delta": {}, "finish_reason": "stop"},
    ]
    return [*(event(choices=[part]) for part in parts), event(usage=_usage(WRITTEN[index]))]


def _text(index: int) -> list[bytes]:
    response = {"index": index, "text": f"answer {index}", "finish_reason": None}
    end = {"index": index, "text": "", "finish_reason": "length"}
    fields = {"object": "text_completion"}
    last = event(choices=[end], usage=_usage(WRITTEN[index]), **fields)
    return [event(choices=[response], **fields), last]


def _whole(call: Call, count: int) -> bytes:
    is_chat = "messages" in call.body
    texts = [f"answer {index}" for index in range(count)]
    response = [
        {"message": {"role": "assistant", "content": t}} if is_chat else {"text": t} for t in texts
    ]
    choices = [{"index": i, "finish_reason": "stop", **part} for i, part in enumerate(response)]
    return orjson.dumps({"choices": choices, "usage": _usage(WRITTEN[0])})


async def llama_server(call: Call) -> None:
    if call.body.get("stream") and call.body.get("tools") and call.body.get("logprobs"):
        refusal = {"message": "logprobs is not supported with tools + stream", "code": 400}
        await call.send(answer(orjson.dumps({"error": refusal}), status=400))
        return
    prompt = call.body.get("prompt")
    count = call.body.get("n", 1) * (len(prompt) if isinstance(prompt, list) else 1)
    if not call.body.get("stream"):
        await call.send(answer(_whole(call, count)))
        return
    one = _chat if "messages" in call.body else _text
    order = reversed(range(count))  # whichever ends first
    await call.stream(*(part for index in order for part in one(index)), DONE)


async def asked(engine: str = "llama.cpp", **fields: Any) -> tuple[Reply, str, dict[str, Any]]:
    """The client's answer, the metrics after it, and what the server was asked."""
    path = "/v1/chat/completions" if "messages" in fields else "/v1/completions"
    async with gateway_with(llama_server, engine=engine) as (front, (backend,)):
        reply = await front.post(orjson.dumps({"model": "coder", **fields}), path)
        return reply, await front.metrics(), backend.calls[-1].body


def counted(metrics: str, kind: str) -> float:
    label = f'kind="{kind}",model="coder"}} '
    return float(metrics.partition(label)[2].partition("\n")[0])


ASKED: dict[str, tuple[dict[str, Any], int]] = {
    "a chat with two answers": ({"messages": ASK, "n": 2}, 2),
    "a chat with three answers": ({"messages": ASK, "n": 3}, 3),
    "a chat with tools and two answers": ({"messages": ASK, "n": 2, "tools": LOOK}, 2),
    "a chat with tools, log probabilities and two answers": (
        {"messages": ASK, "n": 2, "tools": LOOK, "logprobs": True, "top_logprobs": 1},
        2,
    ),
    "a completion with three answers": ({"prompt": "hi", "n": 3}, 3),
    "a chat with one answer": ({"messages": ASK, "n": 1}, 1),
    "a chat that names no number": ({"messages": ASK}, 1),
}


@pytest.mark.parametrize(("fields", "count"), ASKED.values(), ids=ASKED)
async def test_a_whole_answer_reports_the_tokens_of_every_choice(
    fields: dict[str, Any], count: int
) -> None:
    reply, metrics, _ = await asked(**fields)
    value, written = orjson.loads(reply.body), sum(WRITTEN[:count])
    assert value["usage"] == _usage(written)
    assert counted(metrics, "completion_tokens") == written
    assert counted(metrics, "prompt_tokens") == PROMPT_TOKENS


@pytest.mark.parametrize(("fields", "count"), ASKED.values(), ids=ASKED)
async def test_the_client_gets_every_choice_in_its_order(
    fields: dict[str, Any], count: int
) -> None:
    reply, _, _ = await asked(**fields)
    choices = orjson.loads(reply.body)["choices"]
    response = [choice.get("text") or choice["message"]["content"] for choice in choices]
    assert response == [f"answer {index}" for index in range(count)]
    assert [choice["index"] for choice in choices] == list(range(count))


@pytest.mark.parametrize(("fields", "count"), ASKED.values(), ids=ASKED)
async def test_a_stream_is_counted_as_the_whole_answer_is(
    fields: dict[str, Any], count: int
) -> None:
    _, metrics, _ = await asked(**fields, stream=True)
    assert counted(metrics, "completion_tokens") == sum(WRITTEN[:count])
    assert counted(metrics, "prompt_tokens") == PROMPT_TOKENS


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_beside_tools_reach_the_client(stream: bool) -> None:
    reply, _, sent = await asked(messages=ASK, n=2, tools=LOOK, logprobs=True, stream=stream)
    assert sent["n_probs"] == 20
    streamed = answer_conversion.events_in(reply.body) or []
    parts = streamed if stream else [orjson.loads(reply.body)]
    choices = [choice for part in parts for choice in part["choices"] if choice.get("logprobs")]
    tokens = {choice["index"]: choice["logprobs"]["content"] for choice in choices}
    assert tokens == {index: [{"token": f"answer {index}"}] for index in range(2)}


async def test_of_several_prompts_each_is_counted() -> None:
    reply, metrics, _ = await asked(prompt=["hi", "ho"])
    assert orjson.loads(reply.body)["usage"] == {
        "prompt_tokens": 2 * PROMPT_TOKENS,
        "completion_tokens": 17,
        "total_tokens": 2 * PROMPT_TOKENS + 17,
    }
    assert counted(metrics, "prompt_tokens") == 2 * PROMPT_TOKENS


@pytest.mark.parametrize(
    ("engine", "fields"),
    [
        ("openai", {"messages": ASK, "n": 2}),
        ("vllm", {"messages": ASK, "n": 2}),
        ("llama.cpp", {"messages": ASK}),
        ("llama.cpp", {"prompt": [1, 2, 3]}),
        # llama.cpp answers this one otherwise when it is streamed.
        ("llama.cpp", {"messages": [*ASK, {"role": "assistant", "content": "He"}], "n": 2}),
    ],
)
async def test_what_is_reported_whole_is_asked_for_whole(
    engine: str, fields: dict[str, Any]
) -> None:
    _, _, sent = await asked(engine, **fields)
    assert "stream" not in sent
    assert "stream_options" not in sent
