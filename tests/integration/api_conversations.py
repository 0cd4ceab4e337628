"""Generated requests of Anthropic's Messages and OpenAI's Responses, the same every time.

The conversations are those of ``conversations.py`` in the forms that clients of these APIs send.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.integration.conversations import conversations

Body = dict[str, Any]
_Change = Callable[[random.Random, Body], None]

_EPHEMERAL = {"type": "ephemeral"}


def messages_requests(count: int) -> list[Body]:
    """``count`` requests of Messages, some with what only that API has."""
    chats = enumerate(conversations(count, tools=True))
    return [_changed(seed, as_messages(chat), _MESSAGES_CHANGES) for seed, chat in chats]


def responses_requests(count: int) -> list[Body]:
    """``count`` requests of Responses, some with what only that API has."""
    chats = enumerate(conversations(count, tools=True))
    return [_changed(seed, as_responses(chat), _RESPONSES_CHANGES) for seed, chat in chats]


def _changed(seed: int, body: Body, changes: tuple[_Change, ...]) -> Body:
    rng = random.Random(seed)
    for change in rng.sample(changes, rng.randrange(0, 4)):
        change(rng, body)
    return body


# Messages


def as_messages(chat: Body) -> Body:
    """A chat as a client of Anthropic's API would send it."""
    system = [m["content"] for m in chat["messages"] if m["role"] == "system"]
    turns = [_turn(m) for m in chat["messages"] if m["role"] != "system"]
    tools = [_messages_tool(tool["function"]) for tool in chat.get("tools") or ()]
    body = {"max_tokens": 1, "messages": turns}
    body |= {"system": "\n\n".join(system)} if system else {}
    return {**body, "tools": tools} if tools else body


def _messages_tool(function: Body) -> Body:
    described = {k: v for k, v in function.items() if k in ("name", "description")}
    return {**described, "input_schema": function.get("parameters") or {"type": "object"}}


def _turn(message: Body) -> Body:
    if message["role"] == "tool":
        content = message["content"]
        result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}
        return {"role": "user", "content": [result]}
    content = message.get("content") or []
    blocks = [_text(content)] if isinstance(content, str) else list(content)
    for call in message.get("tool_calls") or ():
        named = {"type": "tool_use", "id": call["id"], "name": call["function"]["name"]}
        blocks.append({**named, "input": json.loads(call["function"]["arguments"])})
    return {"role": message["role"], "content": blocks}


def _text(text: str, **fields: Any) -> Body:
    return {"type": "text", "text": text, **fields}


def _long_system(rng: random.Random, body: Body) -> None:
    texts = [f"Rule {number}: größe_in_px stays." for number in range(rng.randrange(1, 9))]
    body["system"] = [_text(text, cache_control=_EPHEMERAL) for text in texts]


def _plain_text(rng: random.Random, body: Body) -> None:
    """Content that is one block of text, as a text."""
    for message in body["messages"]:
        blocks = message["content"]
        if isinstance(blocks, list) and [block["type"] for block in blocks] == ["text"]:
            message["content"] = blocks[0]["text"]


def _thinking(rng: random.Random, body: Body) -> None:
    """Thinking comes back, with a signature that the gateway did not write."""
    thought: Body = {"type": "thinking", "thinking": "I look at 🦙.", "signature": "other"}
    hidden = {"type": "redacted_thinking", "data": "AAAA"}
    for message in body["messages"]:
        if message["role"] == "assistant" and isinstance(message["content"], list):
            message["content"].insert(0, rng.choice((thought, hidden)))
    body["thinking"] = {"type": "adaptive"}


def _results_in_blocks(rng: random.Random, body: Body) -> None:
    for result in _blocks_of(body, "tool_result"):
        result |= {"content": [_text(str(result["content"])), _text("end")], "is_error": True}


def _document(rng: random.Random, body: Body) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "def f():\n    return 1\n"}
    document = {"type": "document", "source": source, "title": "a.py"}
    found = {"type": "search_result", "source": "b.py", "title": "B", "content": [_text("x = 1")]}
    body["messages"].append({"role": "user", "content": [document, found, _text("Which one?")]})


def _instruction(rng: random.Random, body: Body) -> None:
    """Claude Code sends a system message behind the question."""
    body["messages"].insert(1, {"role": "system", "content": [_text("# Environment\nLinux")]})


def _begun_answer(rng: random.Random, body: Body) -> None:
    # llama.cpp refuses a demanded call behind a text that is to be continued.
    if body["messages"][-1]["role"] == "user" and "tool_choice" not in body:
        body["messages"].append({"role": "assistant", "content": "It is"})


def _messages_choice(rng: random.Random, body: Body) -> None:
    if body.get("tools") and body["messages"][-1]["role"] == "user":
        named = {"type": "tool", "name": body["tools"][0]["name"]}
        body["tool_choice"] = rng.choice(({"type": "auto"}, {"type": "none"}, named))


def _client_tools(rng: random.Random, body: Body) -> None:
    bash = {"type": "bash_20250124", "name": "bash"}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    body["tools"] = [*body.get("tools", ()), bash, search]


def _messages_settings(rng: random.Random, body: Body) -> None:
    body |= {"stop_sequences": ["\n\nHuman:"], "metadata": {"user_id": "u"}, "top_k": 20}
    body["output_config"] = {"effort": rng.choice(("low", "high"))}


def _blocks_of(body: Body, kind: str) -> list[Body]:
    contents = (m["content"] for m in body["messages"] if isinstance(m["content"], list))
    return [block for content in contents for block in content if block["type"] == kind]


_MESSAGES_CHANGES: tuple[_Change, ...] = (
    *(_long_system, _plain_text, _thinking, _results_in_blocks, _document, _instruction),
    *(_begun_answer, _messages_choice, _client_tools, _messages_settings),
)


# Responses


def as_responses(chat: Body) -> Body:
    """A chat as a client of OpenAI's newer API would send it."""
    items = [item for message in chat["messages"] for item in _items(message)]
    tools = [{"type": "function", **tool["function"]} for tool in chat.get("tools") or ()]
    # 16 is OpenAI's smallest limit; the gateway takes less, and the tests need no text.
    body = {"max_output_tokens": 1, "input": items}
    return {**body, "tools": tools} if tools else body


def _items(message: Body) -> Iterator[Body]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        call_id = message["tool_call_id"]
        yield {"type": "function_call_output", "call_id": call_id, "output": content}
        return
    if content:
        kind = "output_text" if role == "assistant" else "input_text"
        yield {"type": "message", "role": role, "content": [{"type": kind, "text": content}]}
    for call in message.get("tool_calls") or ():
        yield {"type": "function_call", "call_id": call["id"], **call["function"]}


def _instructions(rng: random.Random, body: Body) -> None:
    body["instructions"] = "Be brief.\n" * rng.randrange(1, 20)


def _one_text(rng: random.Random, body: Body) -> None:
    body["input"] = "Bitte erkläre `größe_in_px`. 🦙"


def _developer(rng: random.Random, body: Body) -> None:
    if isinstance(body["input"], list):
        body["input"].insert(0, {"role": "developer", "content": "Antworte kurz."})


def _reasoning(rng: random.Random, body: Body) -> None:
    """Thinking comes back: open, as a summary, or encrypted for somebody else."""
    reported = {"content": [{"type": "reasoning_text", "text": "I look at it."}], "summary": []}
    summary = {"summary": [{"type": "summary_text", "text": "It was looked at."}]}
    hidden = {"summary": [], "encrypted_content": "gAAAA"}
    for at in reversed(_places(body, "function_call")):
        item = {"type": "reasoning", "id": f"rs_{at}", **rng.choice((reported, summary, hidden))}
        body["input"].insert(at, item)


def _outputs_in_parts(rng: random.Random, body: Body) -> None:
    for at in _places(body, "function_call_output"):
        parts = [{"type": "input_text", "text": text} for text in ("src", "tests\n")]
        body["input"][at]["output"] = parts


def _custom_tool(rng: random.Random, body: Body) -> None:
    """Codex's own ways to edit and to run."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
    patch = {"type": "custom", "name": "apply_patch", "description": "Edit.", "format": grammar}
    inner = {"type": "function", "name": "run", "parameters": {"type": "object"}}
    space = {"type": "namespace", "name": "mcp", "description": "Tools.", "tools": [inner]}
    body["tools"] = [*body.get("tools", ()), patch, space, {"type": "local_shell"}]
    if isinstance(body["input"], list):
        text = "*** Begin Patch\n*** End Patch"
        call = {"type": "custom_tool_call", "call_id": "p", "name": "apply_patch", "input": text}
        result = {"type": "custom_tool_call_output", "call_id": "p", "output": "Done."}
        body["input"] += [call, result, {"role": "user", "content": "Go on."}]


def _hosted_tool(rng: random.Random, body: Body) -> None:
    body["tools"] = [*body.get("tools", ()), {"type": "web_search"}]


def _responses_choice(rng: random.Random, body: Body) -> None:
    names = [tool["name"] for tool in body.get("tools", ()) if tool["type"] == "function"]
    if names:
        body["tool_choice"] = rng.choice(("auto", "none", {"type": "function", "name": names[0]}))


def _text_file(rng: random.Random, body: Body) -> None:
    data = "data:text/plain;base64,eCA9IDEK"
    file = {"type": "input_file", "filename": "a.py", "file_data": data}
    if isinstance(body["input"], list):
        asked = {"type": "input_text", "text": "What is it?"}
        body["input"].append({"role": "user", "content": [file, asked]})


def _responses_settings(rng: random.Random, body: Body) -> None:
    body |= {"store": False, "include": ["reasoning.encrypted_content"], "top_p": 0.9}
    body |= {"reasoning": {"effort": rng.choice(("low", "high"))}, "prompt_cache_key": "k"}


def _places(body: Body, kind: str) -> list[int]:
    items = body["input"] if isinstance(body["input"], list) else []
    return [at for at, item in enumerate(items) if item.get("type") == kind]


_RESPONSES_CHANGES: tuple[_Change, ...] = (
    *(_instructions, _developer, _reasoning, _outputs_in_parts, _custom_tool, _hosted_tool),
    *(_responses_choice, _text_file, _responses_settings, _one_text),
)
