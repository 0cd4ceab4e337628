"""pydantic-ai: its agent on all three APIs."""

from __future__ import annotations

from typing import Any

from anthropic import AsyncAnthropic
from pydantic_ai import Agent
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from sdk_contract import BASE_URL, ENDPOINT, HELLO, KEY, MODEL, SUNNY, TOO_LONG, WEATHER, Api, show


def get_weather(city: str) -> str:
    """Tells the weather of a city."""
    return SUNNY if city == "Paris" else "unknown"


def streamed(model: Model) -> list[str]:
    answer = Agent(model).run_stream_sync(HELLO)
    return list(answer.stream_text(delta=True, debounce_by=None))


def tool(model: Model) -> tuple[str, Any, str]:
    done = Agent(model, tools=[get_weather]).run_sync(WEATHER)
    parts = [part for message in done.all_messages() for part in message.parts]
    call = next(part for part in parts if isinstance(part, ToolCallPart))
    return call.tool_name, call.args_as_dict(), done.output


def api(model: Model) -> Api:
    return Api(
        lambda: Agent(model).run_sync(HELLO).output,
        lambda: streamed(model),
        lambda: tool(model),
        lambda: Agent(model).run_sync(TOO_LONG),
    )


openai = OpenAIProvider(base_url=BASE_URL, api_key=KEY)
anthropic = AsyncAnthropic(base_url=ENDPOINT, api_key=KEY, max_retries=0)
show(
    chat=api(OpenAIChatModel(MODEL, provider=openai)),
    responses=api(OpenAIResponsesModel(MODEL, provider=openai)),
    messages=api(AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=anthropic))),
)
