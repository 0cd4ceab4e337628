"""Generated conversations of the kinds that editors send, the same every time."""

from __future__ import annotations

import random
from collections.abc import Iterator
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
