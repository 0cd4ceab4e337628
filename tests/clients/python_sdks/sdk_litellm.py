"""litellm as a client: chat, messages and responses."""

from __future__ import annotations

from typing import Any

import litellm
from sdk_contract import (
    BASE_URL,
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

TOOLS = [
    {
        "type": "function",
        "function": {"name": TOOL, "description": TOOL_WORDS, "parameters": CITY},
    }
]


def completions(provider: str, address: str) -> Api:
    def ask(*turns: Any, **options: Any) -> Any:
        return litellm.completion(
            f"{provider}/{MODEL}",
            messages=list(turns),
            api_base=address,
            api_key=KEY,
            max_tokens=500,
            num_retries=0,
            **options,
        )

    def user(text: str) -> Any:
        return {"role": "user", "content": text}

    def tool() -> tuple[str, Any, str]:
        reply = ask(user(WEATHER), tools=TOOLS).choices[0].message
        call = reply.tool_calls[0]
        result = {"role": "tool", "tool_call_id": call.id, "content": SUNNY}
        after = ask(user(WEATHER), reply.model_dump(exclude_none=True), result, tools=TOOLS)
        return call.function.name, call.function.arguments, after.choices[0].message.content

    return Api(
        lambda: ask(user(HELLO)).choices[0].message.content,
        lambda: [each.choices[0].delta.content or "" for each in ask(user(HELLO), stream=True)],
        tool,
        lambda: ask(user(TOO_LONG)),
    )


def responses() -> Api:
    def ask(given: Any, **options: Any) -> Any:
        return litellm.responses(
            model=f"openai/{MODEL}", input=given, api_base=BASE_URL, api_key=KEY, **options
        )

    def text(answer: Any) -> str:
        return "".join(part.text for item in answer.output for part in item.content)

    def streamed() -> list[str]:
        events = ask(HELLO, stream=True)
        return [e.delta for e in events if e.type == "response.output_text.delta"]

    def tool() -> tuple[str, Any, str]:
        tools = [{"type": "function", **TOOLS[0]["function"]}]
        call = next(i for i in ask(WEATHER, tools=tools).output if i.type == "function_call")
        reply = {"type": "function_call", "call_id": call.call_id}
        result = {"type": "function_call_output", "call_id": call.call_id, "output": SUNNY}
        turns = [
            {"role": "user", "content": WEATHER},
            {**reply, "name": call.name, "arguments": call.arguments},
            result,
        ]
        return call.name, call.arguments, text(ask(turns, tools=tools))

    return Api(lambda: text(ask(HELLO)), streamed, tool, lambda: ask(TOO_LONG))


show(
    chat=completions("openai", BASE_URL),
    messages=completions("anthropic", ENDPOINT),
    responses=responses(),
)
