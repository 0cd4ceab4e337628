"""The six tests of Open Responses' compliance suite (https://www.openresponses.org/compliance).

Every response and every event of a stream is read by the standard's own types. Prints one JSON
object: for each test what came back, or what the types refused.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from openresponses_types import types
from pydantic import BaseModel, ValidationError
from sdk_contract import BASE_URL, CITY, HELLO, MODEL, TOOL, TOOL_WORDS, WEATHER

#: A red dot.
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4"
    "//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg=="
)
EVENTS = [
    kind
    for name, kind in vars(types).items()
    if name.endswith("StreamingEvent") and issubclass(kind, BaseModel)
]


def ask(given: Any, **fields: Any) -> Any:
    body = json.dumps({"model": MODEL, "input": given, **fields}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{BASE_URL}/responses", body, headers)
    return urllib.request.urlopen(request, timeout=60)


def message(role: str, content: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def response(given: Any, **fields: Any) -> dict[str, Any]:
    """A whole response, as the standard reads it."""
    read: dict[str, Any] = json.load(ask(given, **fields))
    types.ResponseResource.model_validate(read)
    return read


def events(given: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream, each read by the type that has its name."""
    for line in ask(given, stream=True).read().decode().splitlines():
        if line.startswith("data: {"):
            event = json.loads(line[6:])
            _kind_of(event).model_validate(event)
            yield event


def _kind_of(event: dict[str, Any]) -> type[BaseModel]:
    """The type whose name the event has, as all of its other fields are missing."""
    for kind in EVENTS:
        try:
            kind.model_validate({"type": event["type"]})
        except ValidationError as error:
            if ("type",) not in [each["loc"] for each in error.errors()]:
                return kind
    raise ValueError(f"no event of the standard: {event['type']}")


def text_of(read: dict[str, Any]) -> str:
    parts = [part for item in read["output"] for part in item.get("content", [])]
    return "".join(part["text"] for part in parts)


def streamed() -> str:
    seen = list(events([message("user", HELLO)]))
    last = seen[-1]
    assert last["type"] == "response.completed", last["type"]
    types.ResponseResource.model_validate(last["response"])
    return "".join(e["delta"] for e in seen if e["type"] == "response.output_text.delta")


def tool() -> str:
    offered = {"type": "function", "name": TOOL, "description": TOOL_WORDS, "parameters": CITY}
    output = response([message("user", WEATHER)], tools=[offered])["output"]
    return str([item["name"] for item in output if item["type"] == "function_call"])


def picture() -> str:
    parts = [
        {"type": "input_text", "text": HELLO},
        {"type": "input_image", "image_url": PICTURE},
    ]
    return text_of(response([message("user", parts)]))


TESTS: dict[str, Callable[[], str]] = {
    "basic text": lambda: text_of(response([message("user", HELLO)])),
    "streaming": streamed,
    "system prompt": lambda: text_of(
        response([message("system", "Be a pirate."), message("user", HELLO)])
    ),
    "tool call": tool,
    "image": picture,
    "several turns": lambda: text_of(
        response(
            [
                message("user", "My name is Alice."),
                message("assistant", "Hello Alice!"),
                message("user", HELLO),
            ]
        )
    ),
}


def result(test: Callable[[], str]) -> str:
    try:
        return test()
    except (ValidationError, ValueError, AssertionError, OSError) as error:
        return f"failed: {error}"


print(json.dumps({name: result(test) for name, test in TESTS.items()}))
