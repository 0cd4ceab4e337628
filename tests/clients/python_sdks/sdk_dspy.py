"""dspy: its language model with a tool, and a streamed program, on chat."""

from __future__ import annotations

import asyncio
from typing import Any

import dspy
from sdk_contract import (
    BASE_URL,
    CITY,
    HELLO,
    KEY,
    MODEL,
    SUNNY,
    TOO_LONG,
    TOOL,
    TOOL_WORDS,
    WEATHER,
    Api,
    show,
)

lm = dspy.LM(
    f"openai/{MODEL}", api_base=BASE_URL, api_key=KEY, max_tokens=500, num_retries=0, cache=False
)
dspy.configure(lm=lm)


async def pieces() -> list[str]:
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    program = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
    found = [part async for part in program(question=HELLO)]
    return [part.chunk for part in found if isinstance(part, dspy.streaming.StreamResponse)]


def tool() -> tuple[str, Any, str]:
    function = {"name": TOOL, "description": TOOL_WORDS, "parameters": CITY}
    tools = [{"type": "function", "function": function}]
    call = lm(WEATHER, tools=tools)[0]["tool_calls"][0]
    turns = [
        {"role": "user", "content": WEATHER},
        {"role": "assistant", "content": "", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": SUNNY},
    ]
    answered = lm(messages=turns, tools=tools)[0]
    return call.function.name, call.function.arguments, answered


show(
    chat=Api(
        lambda: lm(HELLO)[0],
        lambda: asyncio.run(pieces()),
        tool,
        lambda: lm(TOO_LONG),
    )
)
