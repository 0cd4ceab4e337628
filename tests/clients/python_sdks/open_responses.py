"""The tests of Open Responses' compliance suite (https://www.openresponses.org/compliance).

They are those of ``src/lib/compliance-tests.ts`` in openresponses/openresponses at the commits
0cb939cc and 18e56560, but for the two that are optional there and need tools of the server's own,
a search of files and of the web. Every response and every event of a stream is read by the
standard's own types. Prints one JSON object: for each test what came back, or what was refused.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from openresponses_types import types
from pydantic import BaseModel, ValidationError
from sdk_contract import BASE_URL, CITY, HELLO, MODEL, SUNNY, TOOL, TOOL_WORDS, WEATHER

#: A red dot.
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4"
    "//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg=="
)
#: The beginning of one, which no model reads as text.
FILE = {
    "type": "input_file",
    "filename": "fixture.pdf",
    "file_data": "data:application/pdf;base64,JVBERi0xLjEK",
}
OFFERED = {
    "type": "function",
    "name": TOOL,
    "description": TOOL_WORDS,
    "parameters": CITY,
}
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


def events(given: Any, **fields: Any) -> Iterator[dict[str, Any]]:
    """The events of a stream, each read by the type that has its name."""
    for line in ask(given, stream=True, **fields).read().decode().splitlines():
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


def calls_of(read: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in read["output"] if item["type"] == "function_call"]


def tool() -> str:
    output = response([message("user", WEATHER)], tools=[OFFERED])
    return str([call["name"] for call in calls_of(output)])


def tool_streamed() -> str:
    """The call comes as an item that is added, its arguments in pieces and whole, and done."""
    seen = list(events([message("user", WEATHER)], tools=[OFFERED]))
    by_type = {event["type"]: event for event in seen}
    arguments = "response.function_call_arguments"
    added, done = (by_type[f"response.output_item.{end}"]["item"] for end in ("added", "done"))
    pieces = "".join(event["delta"] for event in seen if event["type"] == f"{arguments}.delta")
    assert added["type"] == done["type"] == "function_call", (added, done)
    assert pieces == by_type[f"{arguments}.done"]["arguments"] == done["arguments"], pieces
    return str([done["name"]])


def round_trip() -> str:
    """A call that is demanded, and the answer after its result, with the whole conversation."""
    choice = {"type": "function", "name": TOOL}
    asked = message("user", WEATHER)
    (call,) = calls_of(response([asked], tools=[OFFERED], tool_choice=choice))
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": SUNNY}
    return text_of(response([asked, call, result], tools=[OFFERED]))


def earlier_response() -> str:
    """What is refused: answers are not stored here. The error is the one that OpenAI has for it."""
    earlier = response(HELLO)["id"]
    try:
        response(HELLO, previous_response_id=earlier)
    except urllib.error.HTTPError as refusal:
        return f"{refusal.code} {json.load(refusal)['error']['code']}"
    return "not refused"


def with_part(part: dict[str, Any]) -> str:
    parts = [{"type": "input_text", "text": HELLO}, part]
    return text_of(response([message("user", parts)]))


TESTS: dict[str, Callable[[], str]] = {
    "basic text": lambda: text_of(response([message("user", HELLO)])),
    "streaming": streamed,
    "system prompt": lambda: text_of(
        response([message("system", "Be a pirate."), message("user", HELLO)])
    ),
    "tool call": tool,
    "tool call, streamed": tool_streamed,
    "tool call and result": round_trip,
    "image": lambda: with_part({"type": "input_image", "image_url": PICTURE}),
    "file": lambda: with_part(FILE),
    "several turns": lambda: text_of(
        response(
            [
                message("user", "My name is Alice."),
                message("assistant", "Hello Alice!"),
                message("user", HELLO),
            ]
        )
    ),
    "earlier response": earlier_response,
}


def result(test: Callable[[], str]) -> str:
    try:
        return test()
    except (ValidationError, ValueError, AssertionError, KeyError, OSError) as error:
        return f"failed: {error!r}"


print(json.dumps({name: result(test) for name, test in TESTS.items()}))
