"""What editors send: chats, agent turns with their tools, and completions, made up in any size.

The text is code that a seed draws from a few words, so that a run can be repeated. To keep a cache
from helping, every request begins with its own salt; to let it help, all requests of a
conversation begin with the same one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Shape = Literal["chat", "agent", "completion"]
SHAPES: tuple[Shape, ...] = ("chat", "agent", "completion")

#: Prompt tokens of the shapes as VS Code sends them, measured with SmolLM2's tokenizer: a question
#: with its instructions and a file, and the first turn of agent mode with its 39 tools.
#: Completions send up to 2,000 tokens around the cursor; most stop at about 600.
USUAL_TOKENS: Mapping[Shape, int] = {"chat": 1740, "agent": 15_500, "completion": 600}
#: Long enough to measure the speed, and short enough not to take long. Completions are short.
USUAL_ANSWER_TOKENS: Mapping[Shape, int] = {"chat": 32, "agent": 32, "completion": 16}

#: 13,756 of 15,496 tokens of VS Code's agent turn are tools.
_TOOLS_SHARE = 0.85
#: What a turn of an agent adds to its prompt, as a share of it: a call and its result.
_TURN_SHARE = 0.03
_WORDS = (
    *("config", "loader", "parser", "request", "handler", "session", "buffer", "window"),
    *("cache", "token", "stream", "worker", "queue", "index", "limit", "budget"),
)
_TOOLS = (
    ("read_file", ("filePath", "startLine", "endLine")),
    ("list_dir", ("path",)),
    ("grep_search", ("query", "isRegexp", "includePattern")),
    ("replace_string_in_file", ("filePath", "oldString", "newString")),
    ("run_in_terminal", ("command", "explanation", "isBackground")),
    ("create_file", ("filePath", "content")),
    ("get_errors", ("filePaths",)),
    ("semantic_search", ("query",)),
)


@dataclass(frozen=True, slots=True)
class Request:
    """What to post, and where to."""

    path: str
    body: Mapping[str, Any]

    @property
    def prompt_chars(self) -> int:
        """Characters that a chat template makes the prompt from."""
        if "prompt" in self.body:
            return len(self.body["prompt"])
        tools = self.body.get("tools")
        texts = [m["content"] + str(m.get("tool_calls", "")) for m in self.body["messages"]]
        return sum(map(len, texts)) + (len(orjson.dumps(tools)) if tools else 0)


@dataclass(frozen=True, slots=True)
class Wording:
    """What the requests of one endpoint and shape have in common."""

    shape: Shape
    model: str
    #: Characters of the prompt, without those that the turns of an agent add.
    prompt_chars: int
    max_tokens: int
    seed: int = 0
    #: Ask for answers of exactly ``max_tokens``, so that all runs do the same work.
    full_answers: bool = True


def request(wording: Wording, salt: str, index: int) -> Request:
    """The request ``index`` of the conversation that ``salt`` names.

    The requests of one conversation share all but their end: another question, the agent's next
    turn, or newly typed code. Two conversations share nothing.
    """
    make = {"chat": _chat, "agent": _agent, "completion": _completion}[wording.shape]
    body = {
        "model": wording.model,
        **make(wording, f"Session {salt}.", index),
        "max_tokens": wording.max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if wording.full_answers:
        body["ignore_eos"] = True
    path = "/v1/completions" if wording.shape == "completion" else "/v1/chat/completions"
    return Request(path, body)


def _chat(wording: Wording, salt: str, index: int) -> dict[str, Any]:
    system = f"{salt} You are a programming assistant in an editor. Keep answers short."
    file = _code(random.Random(wording.seed), wording.prompt_chars - len(system) - 80)  # noqa: S311
    question = f"Question {index}: what does {_WORDS[index % len(_WORDS)]} do in this file?"
    return {"messages": [_message("system", system), _message("user", f"{file}\n{question}")]}


def _agent(wording: Wording, salt: str, index: int) -> dict[str, Any]:
    rng = random.Random(wording.seed)  # noqa: S311  (text, not a secret)
    tools = _tools(rng, salt, int(wording.prompt_chars * _TOOLS_SHARE))
    system = f"{salt} You are a coding agent in an editor. Use the tools to do what is asked."
    left = wording.prompt_chars - len(orjson.dumps(tools)) - len(system)
    task = f"{_code(rng, max(80, left))}\nFind why the test fails, and mend it."
    messages = [_message("system", system), _message("user", task)]
    for turn in range(index):
        messages += _turn(rng, turn, int(wording.prompt_chars * _TURN_SHARE))
    # The model reads the tools and must not call one: the length of a call depends on the model,
    # and some servers hold it back until it is complete, so its times would not be the engine's.
    return {"messages": messages, "tools": tools, "tool_choice": "none"}


def _completion(wording: Wording, salt: str, index: int) -> dict[str, Any]:
    code = _code(random.Random(wording.seed), wording.prompt_chars - len(salt) - 40)  # noqa: S311
    name = _WORDS[index % len(_WORDS)]
    return {"prompt": f"# {salt}\n{code}\ndef {name}_{index}(self):\n"}


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _turn(rng: random.Random, turn: int, chars: int) -> list[dict[str, Any]]:
    path = f"/home/user/project/src/{rng.choice(_WORDS)}.py"
    function = {"name": "read_file", "arguments": orjson.dumps({"filePath": path}).decode()}
    call = {"id": f"call_{turn}", "type": "function", "function": function}
    result = _code(rng, max(40, chars - len(path)))
    return [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"call_{turn}", "content": result},
    ]


def _tools(rng: random.Random, salt: str, chars: int) -> list[dict[str, Any]]:
    """Tools of ``chars`` characters in all, the first of which carries the salt."""
    tools: list[dict[str, Any]] = []
    written = 0
    while written < chars or not tools:
        number = len(tools)
        name, names = _TOOLS[number % len(_TOOLS)]
        about = f"{salt if not tools else ''} {name} of the workspace: {_code(rng, 600)}"
        properties = {
            key: {"type": "string", "description": f"The {key} of the {rng.choice(_WORDS)}."}
            for key in names
        }
        function = {
            "name": f"{name}_{number}",
            "description": about[: max(60, chars - written)],
            "parameters": {"type": "object", "properties": properties, "required": list(names)},
        }
        tools.append({"type": "function", "function": function})
        written += len(orjson.dumps(tools[-1]))
    return tools


def _code(rng: random.Random, chars: int) -> str:
    """About ``chars`` characters of what looks like Python."""
    lines: list[str] = []
    written = 0
    while written < chars:
        a, b, c = (rng.choice(_WORDS) for _ in range(3))
        line = rng.choice(
            (
                f"def {a}_{b}(self, {c}: str, limit: int = {rng.randrange(4096)}) -> None:",
                f'    self.{a}["{b}"] = {c}.get("{a}_{rng.randrange(99)}", None)  # the {b}',
                f"    if {a}.{b} is not None and len({c}) > {rng.randrange(99)}:",
                f'        raise ValueError(f"{a} without {b}: {{{c}!r}}")',
            )
        )
        lines.append(line)
        written += len(line) + 1
    return "\n".join(lines)[: max(0, chars)]
