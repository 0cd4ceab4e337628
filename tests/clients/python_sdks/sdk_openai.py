"""The openai SDK: chat completions and responses."""

from __future__ import annotations

from typing import Any

from openai import OpenAI
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

client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
FUNCTION: Any = {"name": TOOL, "description": TOOL_WORDS, "parameters": CITY}


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def chat(messages: Any, **options: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=messages, **options)


def chat_streamed() -> list[str]:
    with client.chat.completions.stream(model=MODEL, messages=user(HELLO)) as stream:
        return [event.delta for event in stream if event.type == "content.delta"]


def chat_tool() -> tuple[str, Any, str]:
    tools = [{"type": "function", "function": FUNCTION}]
    reply = chat(user(WEATHER), tools=tools).choices[0].message
    call = reply.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": SUNNY}
    after = chat([*user(WEATHER), reply.model_dump(exclude_none=True), result], tools=tools)
    return call.function.name, call.function.arguments, after.choices[0].message.content


def responses(given: Any, **options: Any) -> Any:
    return client.responses.create(model=MODEL, input=given, **options)


def responses_streamed() -> list[str]:
    with client.responses.stream(model=MODEL, input=HELLO) as stream:
        return [each.delta for each in stream if each.type == "response.output_text.delta"]


def responses_tool() -> tuple[str, Any, str]:
    tools = [{"type": "function", "strict": False, **FUNCTION}]
    output = responses(WEATHER, tools=tools).output
    call = next(item for item in output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": SUNNY}
    sent_back = [item.model_dump(exclude_none=True) for item in output]
    after = responses([*user(WEATHER), *sent_back, result], tools=tools)
    return call.name, call.arguments, after.output_text


show(
    chat=Api(
        lambda: chat(user(HELLO)).choices[0].message.content,
        chat_streamed,
        chat_tool,
        lambda: chat(user(TOO_LONG)),
    ),
    responses=Api(
        lambda: responses(HELLO).output_text,
        responses_streamed,
        responses_tool,
        lambda: responses(TOO_LONG),
    ),
)
