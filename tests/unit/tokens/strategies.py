"""Conversations and a counter for tests: any shape that a client may send."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from stoker.tokens import CountRequest, CountStrings
from stoker.tokens.counting.token_counting import Request

_TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60)
_LONG = st.builds(lambda word, count: (word + " x\n") * count, _TEXT, st.integers(0, 120))
TOOL_NAMES = ("read_file", "edit_file", "run_command", "list_dir", "search", "fetch")


_NAMES: st.SearchStrategy[list[str]] = st.lists(st.sampled_from(TOOL_NAMES), unique=True)


#: Any JSON, for the places where a client may write anything.
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "description", "title", "items", "x"]), inner
        )
    ),
    max_leaves=8,
)


@st.composite
def odd_requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request of the right outer shape (which the gateway checks) with anything inside of it."""
    messages = []
    for role in draw(st.lists(st.sampled_from(["system", "user", "assistant", "tool", "x"]))):
        parts = st.lists(st.dictionaries(st.sampled_from(["type", "text", "image_url"]), JSON))
        message = {"role": role, "content": draw(st.none() | _LONG | parts)}
        if draw(st.booleans()):
            functions = st.fixed_dictionaries({"name": _TEXT}, optional={"arguments": JSON})
            calls = st.fixed_dictionaries({"function": functions}, optional={"id": JSON})
            message["tool_calls"] = draw(st.lists(calls, max_size=2))
        messages.append(message)
    messages.append({"role": "user", "content": draw(_TEXT)})
    optional = {"description": JSON, "parameters": JSON, "strict": JSON}
    functions = st.fixed_dictionaries({"name": _TEXT}, optional=optional)
    tools = st.lists(st.fixed_dictionaries({"function": functions}), max_size=4)
    request: dict[str, Any] = {"model": "m", "messages": messages, "tools": draw(tools)}
    request["tool_choice"] = draw(JSON)
    return request


class WordCounter:
    """Counts words and punctuation, plus 4 tokens a message: exact, fast and additive."""

    def __init__(self) -> None:
        self.asked: list[CountStrings | CountRequest] = []

    def count_strings(self, texts: Sequence[str]) -> list[int]:
        self.asked.append(CountStrings(tuple(texts)))
        return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]

    def count_request(self, request: Request) -> int:
        self.asked.append(CountRequest(request))
        texts = [json.dumps(tool, ensure_ascii=False) for tool in request.get("tools") or ()]
        for message in request["messages"]:
            texts.append(str(message.get("content") or ""))
            for call in message.get("tool_calls") or ():
                texts.append(f"{call['function']['name']} {call['function'].get('arguments')}")
        return sum(self.count_strings(texts)) + 4 * len(request["messages"])


def tool(name: str, words: int = 40) -> dict[str, Any]:
    """Return a tool with a description of ``words`` words."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The path of the file. " * 4},
            "title": {"type": "string", "description": "A property called title."},
        },
        "required": ["path"],
    }
    description = f"{name.replace('_', ' ').capitalize()}. " + "More about it. " * (words // 3)
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


@st.composite
def _turn(draw: st.DrawFn, number: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": draw(_LONG)}]
    for step in range(draw(st.integers(0, 3))):
        calls, results = [], []
        for index in range(draw(st.integers(1, 2))):
            call_id = f"call_{number}_{step}_{index}"
            arguments = json.dumps({"path": draw(_TEXT), "title": draw(_LONG)})
            function = {"name": draw(st.sampled_from(TOOL_NAMES)), "arguments": arguments}
            calls.append({"id": call_id, "type": "function", "function": function})
            results.append({"role": "tool", "tool_call_id": call_id, "content": draw(_LONG)})
        messages += [{"role": "assistant", "content": None, "tool_calls": calls}, *results]
    if draw(st.booleans()):
        messages.append({"role": "assistant", "content": draw(_LONG)})
    return messages


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request as an agent sends it: a system prompt, turns with tool calls, tools."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(_LONG)})
    for number in range(draw(st.integers(1, 5))):
        messages += draw(_turn(number))
    if messages[-1]["role"] == "assistant":
        messages.append({"role": "user", "content": draw(_TEXT)})
    names: list[str] = draw(_NAMES)
    request: dict[str, Any] = {"model": "m", "messages": messages}
    if names:
        request["tools"] = [tool(name, draw(st.integers(0, 300))) for name in names]
    if draw(st.booleans()) and names:
        named = draw(st.sampled_from(names))
        request["tool_choice"] = {"type": "function", "function": {"name": named}}
    if draw(st.booleans()):
        request["max_tokens"] = draw(st.integers(1, 100_000))
    return request


@st.composite
def prose_talks(draw: st.DrawFn) -> dict[str, Any]:
    """A talk whose texts are of very different lengths, some with tools and long arguments."""
    size = st.sampled_from([1, 20, 100, 300, 600])
    text = st.builds(lambda words: "words of it\n" * (words // 3) + "end.", size)
    messages: list[dict[str, Any]] = [{"role": "system", "content": draw(text)}]
    for turn in range(draw(st.integers(1, 6))):
        messages.append({"role": "user", "content": draw(text)})
        for step in range(draw(st.sampled_from([0, 0, 2, 9]))):
            edits = [{"old": draw(text), "line": 3} for _ in range(draw(st.integers(1, 2)))]
            function = {"name": "edit_file", "arguments": json.dumps({"edits": edits})}
            call = {"id": f"call_{turn}_{step}", "type": "function", "function": function}
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            result = {"role": "tool", "tool_call_id": call["id"], "content": draw(text)}
            messages.append(result)
        messages.append({"role": "assistant", "content": draw(text)})
    messages.append({"role": "user", "content": "And in short?"})
    return {"model": "m", "messages": messages, "tools": [tool("edit_file", 30)]}
