"""Generated conversations of the kinds that editors send, the same every time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

_TEXTS = (
    "What does this function do?",
    "Bitte erkläre die Größe von `größe_in_px`.",
    "请解释一下这个函数。 它返回什么？",
    "Объясни эту строку: `x = [i for i in y]`",
    "🦙🦙 emoji, ﬁ ligature, e\u0301 combining, \u200bzero width",
    "def f(a, b):\n    return a + b\n\n\n# trailing   spaces   \n",
    "```python\nfor i in range(10):\n\tprint(f'{i:>3}', end='\\n')\n```",
    '{"json": [1, 2, {"deep": "\\u00fc \\" quote"}], "n": null}',
    "<|im_end|> is not the end, nor is <|endoftext|>",
    "line one\r\nline two\r\n\r\nline four",
    "     leading and trailing     ",
    "SELECT * FROM users WHERE name = 'O''Brien' -- comment",
    "https://example.com/a?b=c&d=%20#frag",
    "العربية من اليمين إلى اليسار",
    "0123456789 3.14159 1e-10 0xDEADBEEF 1_000_000",
)
_SYSTEMS = (None, "You are a helpful coding assistant.", "Antworte kurz.\n\n- Regel 1\n- Regel 2")
_TOOLS: tuple[dict[str, Any], ...] = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {key: {"type": kind, "description": what}},
                "required": [key],
            },
        },
    }
    for name, description, key, kind, what in (
        ("read_file", 'Read a file. Use "start" & <end>.', "path", "string", "Where it is."),
        ("list_dir", "List a folder’s entries.", "path", "string", "An absolute path."),
        ("run_tests", "Run the tests (größe: mittel).", "count", "integer", "How many at most."),
    )
)


def conversations(count: int, *, tools: bool) -> Iterator[dict[str, Any]]:
    """``count`` chat requests: some with a system prompt, turns, tools and tool results."""
    for seed in range(count):
        yield _conversation(random.Random(seed), tools=tools)


def unusual_conversations(count: int) -> Iterator[dict[str, Any]]:
    """The same in the forms that engines change before, or render as nobody else does."""
    for seed in range(count):
        rng = random.Random(seed)
        request = _conversation(rng, tools=True)
        for change in rng.sample(_CHANGES, rng.randrange(1, 4)):
            change(rng, request)
        yield request


def _developer(rng: random.Random, request: dict[str, Any]) -> None:
    others = [m for m in request["messages"] if m["role"] != "system"]
    request["messages"] = [{"role": "developer", "content": "Be brief."}, *others]


def _assistant_last(rng: random.Random, request: dict[str, Any]) -> None:
    if request["messages"][-1]["role"] == "user":
        request["messages"].append({"role": "assistant", "content": "Well, it"})


def _reasoning(rng: random.Random, request: dict[str, Any]) -> None:
    name = rng.choice(("reasoning_content", "reasoning"))
    for message in request["messages"]:
        if message["role"] == "assistant":
            message[name] = _text(rng)


def _effort(rng: random.Random, request: dict[str, Any]) -> None:
    request["reasoning_effort"] = rng.choice(("none", "low", "high"))


def _variables(rng: random.Random, request: dict[str, Any]) -> None:
    values = {"enable_thinking": rng.random() < 0.5, "reasoning_effort": "medium"}
    request["chat_template_kwargs"] = dict(rng.sample(sorted(values.items()), 1))


def _no_call(rng: random.Random, request: dict[str, Any]) -> None:
    if request.get("tools"):
        request["tool_choice"] = "none"


def _odd_tools(rng: random.Random, request: dict[str, Any]) -> None:
    parameters = {
        "required": ["n"],
        "properties": {"n": {"default": 1.0, "minimum": -0.5, "maximum": 1e5, "type": "number"}},
        "type": "object",
    }
    odd: tuple[dict[str, Any], ...] = (
        {"name": "a", "description": "One.", "parameters": parameters, "strict": False},
        {"name": "b", "parameters": parameters},
        {"parameters": parameters, "description": "Three.", "name": "c"},
        {"name": "d", "description": "", "parameters": {"type": "object", "properties": {}}},
        {"name": "e", "description": "Five.", "parameters": parameters, "x_meta": {"title": "E"}},
    )
    chosen = rng.sample(odd, rng.randrange(1, 4))
    request["tools"] = [
        {"type": "function", "function": function, **rng.choice(({}, {"x_source": "a server"}))}
        for function in chosen
    ]


def _odd_arguments(rng: random.Random, request: dict[str, Any]) -> None:
    arguments = (
        '{"n": 1e5}',
        '{"n": 0.1, "m": 1.0, "k": -0}',
        '{"n": 1234567890123456789012}',
        '{"path":"src/a.py","path":"b","deep":{"b":[1,2.50],"a":null}}',
        "{}",
    )
    for message in request["messages"]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = rng.choice(arguments)


def _parts(rng: random.Random, request: dict[str, Any]) -> None:
    for message in request["messages"]:
        if message["role"] == "user":
            texts = (message["content"], _text(rng))
            message["content"] = [{"type": "text", "text": text} for text in texts]


def _nothing_said(rng: random.Random, request: dict[str, Any]) -> None:
    for message in request["messages"]:
        if message.get("tool_calls"):
            message |= {"content": None, "refusal": None}


_CHANGES: tuple[Callable[[random.Random, dict[str, Any]], None], ...] = (
    *(_developer, _assistant_last, _reasoning, _effort, _variables, _no_call),
    *(_odd_tools, _odd_arguments, _parts, _nothing_said),
)


def _conversation(rng: random.Random, *, tools: bool) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    system = rng.choice(_SYSTEMS)
    if system:
        messages.append({"role": "system", "content": system})
    offered = list(_TOOLS[: rng.randrange(1, 4)]) if tools and rng.random() < 0.6 else []
    for _ in range(rng.randrange(0, 3)):
        messages += _turn(rng, with_call=bool(offered) and rng.random() < 0.5)
    messages.append({"role": "user", "content": _text(rng)})
    request: dict[str, Any] = {"messages": messages}
    if offered:
        request["tools"] = offered
    return request


def _turn(rng: random.Random, *, with_call: bool) -> list[dict[str, Any]]:
    asked = {"role": "user", "content": _text(rng)}
    if not with_call:
        return [asked, {"role": "assistant", "content": _text(rng)}]
    identity = f"call_{rng.randrange(10**6)}"
    call = {
        "id": identity,
        "type": "function",
        "function": {"name": "read_file", "arguments": '{"path": "src/größe.py"}'},
    }
    return [
        asked,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": identity, "content": _text(rng)},
        {"role": "assistant", "content": _text(rng)},
    ]


def _text(rng: random.Random) -> str:
    return "\n".join(rng.choice(_TEXTS) for _ in range(rng.randrange(1, 4)))
