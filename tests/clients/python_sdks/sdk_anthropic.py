"""The anthropic SDK: messages."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic
from sdk_contract import (
    CITY,
    ENDPOINT,
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

client = Anthropic(base_url=ENDPOINT, api_key=KEY, max_retries=0)


def user(content: Any) -> Any:
    return {"role": "user", "content": content}


def messages(*turns: Any, **options: Any) -> Any:
    return client.messages.create(model=MODEL, max_tokens=500, messages=turns, **options)


def streamed() -> list[str]:
    with client.messages.stream(model=MODEL, max_tokens=500, messages=[user(HELLO)]) as stream:
        return list(stream.text_stream)


def tool() -> tuple[str, Any, str]:
    tools = [{"name": TOOL, "description": TOOL_WORDS, "input_schema": CITY}]
    reply = messages(user(WEATHER), tools=tools)
    call = next(block for block in reply.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": SUNNY}
    assistant = {"role": "assistant", "content": reply.content}
    after = messages(user(WEATHER), assistant, user([result]), tools=tools)
    return call.name, call.input, after.content[0].text


show(
    messages=Api(
        lambda: messages(user(HELLO)).content[0].text,
        streamed,
        tool,
        lambda: messages(user(TOO_LONG)),
    )
)
