"""langchain-openai on chat and responses, langchain-anthropic on messages."""

from __future__ import annotations

from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from sdk_contract import BASE_URL, ENDPOINT, HELLO, KEY, MODEL, SUNNY, TOO_LONG, WEATHER, Api, show


@tool
def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return SUNNY if city == "Paris" else "unknown"


def call_and_result(model: Any) -> tuple[str, Any, str]:
    bound = model.bind_tools([get_weather])
    reply = bound.invoke(WEATHER)
    call = reply.tool_calls[0]
    result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
    return call["name"], call["args"], bound.invoke([HumanMessage(WEATHER), reply, result]).text


def api(model: Any) -> Api:
    return Api(
        lambda: model.invoke(HELLO).text,
        lambda: [chunk.text for chunk in model.stream(HELLO)],
        lambda: call_and_result(model),
        lambda: model.invoke(TOO_LONG),
    )


chat = ChatOpenAI(model=MODEL, base_url=BASE_URL, api_key=KEY, max_retries=0)
responses = ChatOpenAI(
    model=MODEL, base_url=BASE_URL, api_key=KEY, max_retries=0, use_responses_api=True
)
messages = ChatAnthropic(model=MODEL, base_url=ENDPOINT, api_key=KEY, max_retries=0)
show(chat=api(chat), responses=api(responses), messages=api(messages))
