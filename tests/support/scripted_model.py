"""A server that plays a competent model on the task of ``six_turns``.

It has vLLM's protocol and a real tokenizer, and its answers depend only on the request. It keeps no
memory: it derives the next step from the user's newest message and the calls and results after it,
and calls a tool only if the request offers it. So a turn fails, as with a real model, when a
message is lost, a tool is left out or a result is cut away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from aiohttp import web
from tests.support import real_models
from tests.support.background_server import BackgroundServer
from tests.support.six_turns import CALL_SITES, ROUNDING, TURNS

from stoker.tokens.counting.local_tokenizer import LocalTokenizer

Body = dict[str, Any]
MODEL = "scripted"
_CHUNK_CHARS = 24


@cache
def tokenizer() -> LocalTokenizer:
    """Qwen2.5-Coder's tokenizer and chat template, which supports tools."""
    return LocalTokenizer.from_gguf(real_models.qwen())


# What the model reads in a conversation


@dataclass(frozen=True)
class Call:
    """A tool call of the assistant, with its result if the request still has it."""

    name: str
    arguments: Mapping[str, Any]
    result: str


@dataclass(frozen=True)
class Conversation:
    """What the model knows: the user's newest message, the calls after it, and the tools."""

    asked: str
    calls: Sequence[Call]
    everything: str
    tools: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, body: Body) -> Conversation:
        """Read the conversation of a chat request."""
        messages = body["messages"]
        people = [index for index, message in enumerate(messages) if message["role"] == "user"]
        newest = people[-1] if people else len(messages)
        asked = _asked(text_of(messages[newest])) if people else ""
        return cls(
            asked,
            list(calls_of(messages[newest:])),
            "\n".join(text_of(message) + _calls_as_text(message) for message in messages),
            {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()},
        )

    def result_of(self, call: str) -> str:
        """The result of the newest call of this name since the user's message."""
        results = [each.result for each in self.calls if each.name == call]
        return results[-1] if results else ""

    def folder(self) -> str:
        """The user's folder, from the prompt or from earlier calls."""
        found = re.search(
            r"(?:following folders?:\s*\n\s*- |(?:working directory|cwd)\W{1,9})(/[^\s<\"']+)",
            self.everything,
            re.IGNORECASE,
        ) or re.search(r'": *"(/[^"]*?)/(?:src|checks\.log)\b', self.everything)
        return found[1] if found else ""


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, its parts joined."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def _calls_as_text(message: Mapping[str, Any]) -> str:
    calls = message.get("tool_calls") or ()
    return "".join("\n" + str(call["function"]["arguments"]) for call in calls)


def _asked(text: str) -> str:
    """The user's own words, without the context that the editor adds."""
    requests = re.findall(r"<userRequest>(.*?)</userRequest>", text, re.DOTALL)
    return str(requests[-1] if requests else text).strip()


def calls_of(messages: Sequence[Mapping[str, Any]]) -> Iterator[Call]:
    """The tool calls in these messages, in their order."""
    results = {m["tool_call_id"]: text_of(m) for m in messages if m["role"] == "tool"}
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call["function"]
            arguments = json.loads(function["arguments"] or "{}")
            yield Call(function["name"], arguments, results.get(call["id"], ""))


# What the model does


@dataclass(frozen=True)
class Step:
    """One tool call to make, under the name of the first of its tools that is offered."""

    ways: Mapping[str, Callable[[str], Mapping[str, Any]]]

    def call(self, tools: Mapping[str, Any], folder: str) -> tuple[str, Mapping[str, Any]] | None:
        """The call to make, ``None`` where no tool for it is offered."""
        name = next((name for name in self.ways if name in tools), None)
        if name is None:
            return None
        known = tools[name].get("parameters", {}).get("properties", {})
        wanted = self.ways[name](folder)
        return name, {key: value for key, value in wanted.items() if key in known}

    def names(self) -> str:
        """The tools that can do it, for a message."""
        return " or ".join(self.ways)


def _list(path: str) -> Step:
    return Step(
        {
            "list_dir": lambda at: {"path": f"{at}/{path}"},
            "view": lambda at: {"path": f"{at}/{path}"},
        }
    )


def _read(path: str, first: int, last: int) -> Step:
    return Step(
        {
            "read_file": lambda at: {
                "filePath": f"{at}/{path}",
                "startLine": first,
                "endLine": last,
            },
            "view": lambda at: {"path": f"{at}/{path}", "view_range": [first, last]},
        }
    )


def _create(path: str, text: str) -> Step:
    return Step(
        {
            "create_file": lambda at: {"filePath": f"{at}/{path}", "content": text},
            "create": lambda at: {"path": f"{at}/{path}", "file_text": text},
        }
    )


def _edit(path: str, old: str, new: str) -> Step:
    return Step(
        {
            "replace_string_in_file": lambda at: {
                "filePath": f"{at}/{path}",
                "oldString": old,
                "newString": new,
            },
            "edit": lambda at: {"path": f"{at}/{path}", "old_str": old, "new_str": new},
        }
    )


#: The Copilot harness keeps its to-do list in a table with its own states.
_SQL_STATES = {"not-started": "pending", "in-progress": "in_progress"}


def _todo(*states: str) -> Step:
    titles = ("Read how prices are made", "Add the currency option", "Check the reports")
    items = [
        {"id": number, "title": title, "status": state}
        for number, (title, state) in enumerate(zip(titles, states, strict=True), 1)
    ]
    rows = ", ".join(
        f"('{item['id']}', '{item['title']}', '{_SQL_STATES[str(item['status'])]}')"
        for item in items
    )
    # SQL as a model writes it; the editor's own to-do store runs it.
    query = "INSERT OR REPLACE INTO todos (id, title, status) VALUES " + rows  # noqa: S608
    return Step(
        {
            "manage_todo_list": lambda _: {"todoList": items},
            "sql": lambda _: {"description": "Keep the todo list", "query": query},
        }
    )


_SIGNATURE = "def apply_discount(price: float, rate: float) -> float:"
_BODY = "    return round(price * (1 - rate), 2)"
_NEW_FILE = f'''"""Discounts, rounded {ROUNDING} as all prices of the shop are."""


{_SIGNATURE}
    """Return ``price`` less the share ``rate``."""
{_BODY}
'''
_REFUSAL = f"""    if not 0 <= rate <= 1:
        raise ValueError(f"A rate of {{rate}} is not between 0 and 1.")
{_BODY}"""


@dataclass(frozen=True)
class Plan:
    """A turn's steps, the results that each requires, and the answer."""

    steps: Sequence[Step]
    #: A regular expression that the results before this step, or the answer, must match.
    needs: Mapping[int, str]
    answer: Callable[[Conversation], str]
    #: A narrower step for a result that was shortened, as tools and editors do.
    again: Mapping[int, Step] = field(default_factory=dict)


def _count_of_calls(conversation: Conversation) -> str:
    results = " ".join(call.result for call in conversation.calls)
    places = len(set(re.findall(r'load_config\("(\w+)"\)', results)))
    return f"load_config is called in {places} places, each in a file of src/reports."


PLANS = (
    Plan(
        [_list("src"), _read("src/pricing.py", 1, 248), _create("src/discounts.py", _NEW_FILE)],
        {2: ROUNDING},
        lambda _: f"I created src/discounts.py with apply_discount; it rounds {ROUNDING}.",
        {2: _read("src/pricing.py", 1, 8)},
    ),
    Plan(
        [_read("src/discounts.py", 1, 20), _edit("src/discounts.py", _BODY, _REFUSAL)],
        {1: re.escape(_BODY.strip())},
        lambda _: "The function now refuses rates that are not between 0 and 1.",
    ),
    Plan(
        [
            Step(
                {
                    "file_search": lambda _: {"query": "**/*.py"},
                    "glob": lambda _: {"pattern": "**/*.py"},
                }
            ),
            Step(
                {
                    "grep_search": lambda _: {
                        "query": 'load_config\\("',
                        "isRegexp": True,
                        "includePattern": "**/*.py",
                    },
                    "grep": lambda at: {
                        "pattern": 'load_config\\("',
                        "paths": at,
                        "output_mode": "content",
                        "-n": True,
                    },
                }
            ),
        ],
        {1: r"reports", 2: r"load_config"},
        _count_of_calls,
    ),
    Plan(
        [
            Step(
                {
                    "get_errors": lambda at: {"filePaths": [f"{at}/src/inventory.py"]},
                    "bash": lambda at: {
                        "command": f"python3 -m py_compile {at}/src/inventory.py && echo no errors",
                        "description": "Check a file for errors",
                    },
                }
            ),
            _read("src/inventory.py", 1, 311),
        ],
        {2: r"class Closing"},
        lambda _: "The editor shows no errors; the file ends with class Closing.",
        {2: _read("src/inventory.py", 300, 311)},
    ),
    Plan(
        [
            _todo("not-started", "not-started", "not-started"),
            _todo("in-progress", "not-started", "not-started"),
        ],
        {},
        lambda _: "The list has three steps, and the first step is in progress.",
    ),
    Plan(
        [
            Step(
                {
                    "run_in_terminal": lambda _: {
                        "command": "python3 run_checks.py",
                        "explanation": "Run the checks",
                        "goal": "Run the checks",
                        "isBackground": False,
                        "mode": "sync",
                        "timeout": 60000,
                    },
                    "bash": lambda _: {
                        "command": "python3 run_checks.py",
                        "description": "Run the checks",
                    },
                }
            ),
            _read("checks.log", 1, 4),
        ],
        {1: r"\d+ checks passed", 2: r"release [\d.]+"},
        lambda seen: "{} checks passed for release {}.".format(
            _found(r"(\d+) checks passed", seen), _found(r"release ([\d.]+\d)", seen)
        ),
    ),
)
assert len(PLANS) == len(TURNS)
assert CALL_SITES == 7


def _found(pattern: str, conversation: Conversation) -> str:
    results = "\n".join(call.result for call in conversation.calls)
    found = re.findall(pattern, results)
    return str(found[-1]) if found else "(not seen)"


@dataclass(frozen=True)
class Answer:
    """A text or one tool call. ``why`` names what the model missed."""

    text: str = ""
    call: tuple[str, Mapping[str, Any]] | None = None
    missed: str = ""


def play(body: Body) -> Answer:
    """Return what a competent model does next in the conversation of ``body``."""
    conversation = Conversation.of(body)
    turns = [n for n, turn in enumerate(TURNS) if turn.cue in conversation.asked]
    if not turns:
        return _failed("the person's request is not in the conversation")
    folder = conversation.folder()
    if not folder:
        return _failed("the folder of the workspace is not in the conversation")
    return _next(PLANS[turns[-1]], conversation, folder)


def _next(plan: Plan, conversation: Conversation, folder: str) -> Answer:
    for number, step in enumerate([*plan.steps, None]):
        missing = _missing(plan.needs.get(number), conversation)
        # A repeated step shows nothing new.
        looked = number in plan.again and _step(plan.again[number], conversation, folder)
        if missing:
            return looked or _failed(missing)
        if step and (answer := _step(step, conversation, folder)):
            first = answer.call and not number
            return replace(answer, text="I will look at this first.") if first else answer
    return Answer(plan.answer(conversation))


def _step(step: Step, conversation: Conversation, folder: str) -> Answer | None:
    """Return the call of a step; ``None`` if it was made already."""
    call = step.call(conversation.tools, folder)
    if call is None:
        return _failed(f"the tool {step.names()} is not offered")
    made = [(each.name, each.arguments) for each in conversation.calls]
    return None if call in made else Answer(call=call)


def _missing(pattern: str | None, conversation: Conversation) -> str:
    if pattern is None:
        return ""
    results = "\n".join(call.result for call in conversation.calls)
    return "" if re.search(pattern, results) else "a result that this needs is cut away"


def _failed(missed: str) -> Answer:
    return Answer(f"I cannot go on: {missed}.", missed=missed)


# The server


@dataclass
class Arrived:
    """One chat request as it reached the engine."""

    at_s: float
    headers: Mapping[str, str]
    body: Body
    prompt_tokens: int
    kind: str
    status: int = 200
    answer: Answer = field(default_factory=Answer)

    def tools(self) -> list[str]:
        """The names of the tools that the request offers."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or ()]


#: How requests other than an agent's steps begin, by their purpose. Compactions can carry the
#: conversation's tools, so they are recognised first.
_COMPACTION = re.compile(
    r"summar(y|ize|ise|ization)[^.]{0,80}conversation|conversation[^.]{0,80}summar", re.I
)
_UTILITIES = {
    "title": (re.compile(r"\btitle\b", re.I), "Discounts for the shop"),
    "progress": (
        re.compile(r"progress", re.I),
        '["Looking at the prices", "Counting the shelves", "Writing it down"]',
    ),
    "commit": (re.compile(r"commit message", re.I), "Add discounts"),
}


def kind_of(body: Body) -> str:
    """The purpose of a request: ``agent``, ``compaction``, ``title``, ``progress``, ``other``."""
    ends = [text_of(body["messages"][0]), text_of(body["messages"][-1])]
    if any(
        _COMPACTION.search(text[:3000]) for text in (ends if not body.get("tools") else ends[1:])
    ):
        return "compaction"
    if body.get("tools"):
        return "agent"
    texts = "\n".join(ends)
    return next((name for name, (words, _) in _UTILITIES.items() if words.search(texts)), "other")


class ScriptedModel(BackgroundServer):
    """Serves the model. ``window_tokens`` is its context window, which ``/v1/models`` reports."""

    def __init__(self, window_tokens: int, *, model: str = MODEL, port: int = 0) -> None:
        super().__init__(port=port, handler_cancellation=False)
        tokenizer()  # loading takes longer than the server's start may
        self.window_tokens = window_tokens
        self.model = model
        self.arrived: list[Arrived] = []

    def of_kind(self, kind: str) -> list[Arrived]:
        """The requests of one kind so far, in order of arrival."""
        return [arrived for arrived in self.arrived if arrived.kind == kind]

    def story(self) -> list[str]:
        """What arrived and how it was answered, a line each, for a message."""
        return [
            f"{each.kind}: {each.status}, {len(each.tools())} tools, "
            f"{each.answer.call or each.answer.text!r}"
            for each in self.arrived
        ]

    def answer(self, kind: str, body: Body) -> Answer:
        """The answer to a request of this kind."""
        if kind == "agent":
            return play(body)
        if kind == "compaction":
            return Answer("<summary>The shop got discounts; work goes on.</summary>")
        return Answer(_UTILITIES[kind][1] if kind in _UTILITIES else "Yes.")

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/health", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "0.32.0"})

    async def _models(self, _: web.Request) -> web.Response:
        entry = {
            "id": self.model,
            "object": "model",
            "created": 1,
            "owned_by": "vllm",
            "root": self.model,
            "max_model_len": self.window_tokens,
        }
        return web.json_response({"object": "list", "data": [entry]})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body.get("prompt") if "prompt" in body else rendered(body)
        if not isinstance(text, str):
            # vLLM accepts one prompt per request.
            return _bad_request("Input should be a valid string")
        ids = tokenizer().tokenizer.encode(text, add_special_tokens=False).ids
        limit = self.window_tokens
        return web.json_response({"count": len(ids), "max_model_len": limit, "tokens": ids})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        tokens = await asyncio.to_thread(tokenizer().count_request, _as_text(body))
        arrived = Arrived(time.monotonic(), dict(request.headers), body, tokens, kind_of(body))
        self.arrived.append(arrived)
        if tokens >= self.window_tokens:
            arrived.status = 400
            return _too_long(self.window_tokens, tokens)
        arrived.answer = self.answer(arrived.kind, body)
        reply = _Reply(self.model, arrived.answer, tokens)
        if not body.get("stream"):
            return web.json_response(reply.whole())
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # The client may leave.
            for event in reply.events():
                await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            await response.write(b"data: [DONE]\n\n")
        return response


def rendered(body: Body) -> str:
    """The prompt that the model reads."""
    template = tokenizer().template
    assert template is not None
    return template.render(_as_text(body))


def _as_text(body: Body) -> Body:
    """The conversation as the template takes it: a picture is seen, and takes no tokens here."""
    messages = [
        {**each, "content": text_of(each)} if isinstance(each.get("content"), list) else each
        for each in body.get("messages") or ()
    ]
    return {**body, "messages": messages}


def _too_long(window_tokens: int, tokens: int) -> web.Response:
    # The text and form of vLLM's own error.
    message = (
        f"This model's maximum context length is {window_tokens} tokens. However, your request has "
        f"at least {tokens} input tokens. Please reduce the length of the input messages."
    )
    return _bad_request(message)


def _bad_request(message: str) -> web.Response:
    error = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
    return web.json_response({"error": error}, status=400)


@dataclass(frozen=True)
class _Reply:
    model: str
    answer: Answer
    prompt_tokens: int

    def whole(self) -> Body:
        message: Body = {"role": "assistant", "content": self.answer.text or None}
        if self.answer.call:
            message["tool_calls"] = [self._call()]
        choice = {"index": 0, "message": message, "finish_reason": self._finish()}
        return {**self._event("chat.completion"), "choices": [choice], "usage": self._usage()}

    def events(self) -> Iterator[Body]:
        text = self.answer.text
        yield self._delta({"role": "assistant", "content": ""})
        for start in range(0, len(text), _CHUNK_CHARS):
            yield self._delta({"content": text[start : start + _CHUNK_CHARS]})
        if self.answer.call:
            yield self._delta({"tool_calls": [{"index": 0, **self._call()}]})
        yield self._delta({}, self._finish())
        chunk = self._event("chat.completion.chunk")
        yield {**chunk, "choices": [], "usage": self._usage()}

    def _delta(self, delta: Body, finish: str | None = None) -> Body:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {**self._event("chat.completion.chunk"), "choices": [choice]}

    def _event(self, kind: str) -> Body:
        return {"id": f"chatcmpl-{id(self)}", "object": kind, "created": 1, "model": self.model}

    def _call(self) -> Body:
        assert self.answer.call
        name, arguments = self.answer.call
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"id": f"call-{uuid.uuid4().hex[:12]}", "type": "function", "function": function}

    def _finish(self) -> str:
        return "tool_calls" if self.answer.call else "stop"

    def _usage(self) -> Body:
        received = self.answer.text + json.dumps(self.answer.call)
        written = tokenizer().count_strings([received])[0]
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": written,
            "total_tokens": self.prompt_tokens + written,
        }
