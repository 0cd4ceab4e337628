"""instructor: values of a class instead of texts, on chat and messages.

Each value is the arguments of a tool call that the request demands. A value is shown as a call.
"""

from __future__ import annotations

from typing import Any

import instructor
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel
from sdk_contract import BASE_URL, ENDPOINT, HELLO, KEY, MODEL, TOO_LONG, WEATHER, Api, show


class Weather(BaseModel):
    """The city that is asked about."""

    city: str


def api(client: Any) -> Api:
    def ask(text: str, kind: Any = Weather, **options: Any) -> Any:
        turns = [{"role": "user", "content": text}]
        return client.create(
            model=MODEL,
            messages=turns,
            response_model=kind,
            max_tokens=500,
            max_retries=0,
            **options,
        )

    def value() -> tuple[str, Any, str]:
        found = ask(WEATHER)
        return type(found).__name__, found.model_dump(), ""

    def streamed() -> list[str]:
        parts = ask(WEATHER, instructor.Partial[Weather], stream=True)
        return [list(parts)[-1].city]

    return Api(lambda: ask(HELLO).city, streamed, value, lambda: ask(TOO_LONG))


openai = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
anthropic = Anthropic(base_url=ENDPOINT, api_key=KEY, max_retries=0)
show(
    chat=api(instructor.from_openai(openai)),
    messages=api(instructor.from_anthropic(anthropic)),
)
