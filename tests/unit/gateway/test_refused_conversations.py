"""A conversation that a server refuses for its form is rewritten for it, once and visibly."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from tests.unit.gateway.backends import MODEL, Call, Front, answer, front, running

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served

TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {}}},
}
CALL_IN_TEXT = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'
NO_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'


@dataclass
class Strict:
    """A server that refuses what ``refusal`` finds fault with, and answers everything else."""

    refusal: Callable[[dict[str, Any]], str | None]
    status: int = 400
    text: str = "hi"
    chats: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, call: Call) -> None:
        self.chats.append(call.body)
        why = self.refusal(call.body)
        if why is not None:
            await call.send(answer(orjson.dumps({"error": {"message": why}}), status=self.status))
            return
        message = {"role": "assistant", "content": self.text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await call.send(answer(orjson.dumps({"choices": [choice]})))


def roles(body: dict[str, Any]) -> list[str]:
    return [message["role"] for message in body["messages"]]


def wants_turns(body: dict[str, Any]) -> str | None:
    spoken = [role for role in roles(body) if role != "tool"]
    twice = any(one == other for one, other in itertools.pairwise(spoken))
    return "roles must alternate" if twice or "system" in spoken[1:] else None


def knows_no_system(body: dict[str, Any]) -> str | None:
    return "System role not supported" if "system" in roles(body) else wants_turns(body)


def reads_text_only(body: dict[str, Any]) -> str | None:
    return "not a multimodal model" if "image_url" in orjson.dumps(body).decode() else None


def takes_no_tools(body: dict[str, Any]) -> str | None:
    return NO_PARSER if body.get("tools") else None


def refuses_all(_: dict[str, Any]) -> str | None:
    return "never"


def turn_of(role: str, content: Any = "x") -> dict[str, Any]:
    return {"role": role, "content": content}


async def ask(gate: Front, *messages: dict[str, Any], **fields: Any) -> Any:
    body = orjson.dumps({"model": MODEL, "messages": list(messages), **fields})
    async with gate.http.post(gate.url + "/v1/chat/completions", data=body) as response:
        return response.status, response.headers.get("x-stoker-fit"), await response.json()


async def through(server: Strict, *requests: dict[str, Any], engine: str = "openai") -> list[Any]:
    async with running(server) as (backend,):
        gateway = Gateway()
        gateway.serve([Served(Backend(backend.url, engine), [ServedModel(MODEL)])])
        async with front(gateway) as gate:
            return [await ask(gate, *request.pop("messages"), **request) for request in requests]


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    ("refusal", "messages", "header"),
    [
        (wants_turns, [turn_of("user"), turn_of("user")], "rewritten=roles-in-turn"),
        (
            wants_turns,
            [turn_of("system"), turn_of("system"), turn_of("user")],
            "rewritten=roles-in-turn",
        ),
        (knows_no_system, [turn_of("system"), turn_of("user")], "rewritten=no-system-role"),
        (
            knows_no_system,
            [turn_of("system"), turn_of("user"), turn_of("user")],
            "rewritten=roles-in-turn,no-system-role",
        ),
        (
            reads_text_only,
            [turn_of("user", [IMAGE]), turn_of("assistant"), turn_of("user")],
            "rewritten=text-only",
        ),
    ],
)
async def test_what_is_refused_is_answered_in_another_form(
    status: int, refusal: Any, messages: list[Any], header: str
) -> None:
    server = Strict(refusal, status)
    ((got, record, _),) = await through(server, {"messages": messages})
    assert got == 200
    assert record is not None
    assert set(header[10:].split(",")) <= set(record[10:].split(","))
    assert refusal(server.chats[-1]) is None


async def test_the_form_is_remembered_for_the_backend() -> None:
    server = Strict(wants_turns)
    two = {"messages": [turn_of("user"), turn_of("user")]}
    answers = await through(server, dict(two), dict(two), {"messages": [turn_of("user")]})
    assert [status for status, _, _ in answers] == [200, 200, 200]
    assert len(server.chats) == 4
    assert answers[2][1] is None, "a request that needs no rewriting is not said to have had one"


async def test_a_refusal_that_no_form_helps_against_is_passed_on_and_teaches_nothing() -> None:
    server = Strict(refuses_all)
    refused, _ = await through(
        server,
        {"messages": [turn_of("user"), turn_of("user")]},
        {"messages": [turn_of("user", "y")]},
    )
    assert (refused[0], refused[2]["error"]["message"]) == (400, "never")
    server.refusal = lambda _: None
    ((_, record, _),) = await through(server, {"messages": [turn_of("user"), turn_of("user")]})
    assert record is None


@pytest.mark.parametrize("choice", ["auto", "required", {"function": {"name": "look"}}])
async def test_tools_are_offered_in_the_prompt_of_a_server_without_a_parser(choice: Any) -> None:
    server = Strict(takes_no_tools, text=CALL_IN_TEXT)
    request = {"messages": [turn_of("user")], "tools": [TOOL], "tool_choice": choice}
    answers = await through(server, dict(request), dict(request), engine="vllm")
    for status, _, body in answers:
        (call,) = body["choices"][0]["message"]["tool_calls"]
        assert (status, call["function"]["name"]) == (200, "look")
    assert len(server.chats) == 3
    assert "tools" not in server.chats[1]


async def test_one_refused_tool_is_no_reason_to_take_all_for_refused() -> None:
    server = Strict(lambda body: "bad schema" if body.get("tools") else None)
    ((status, _, body),) = await through(server, {"messages": [turn_of("user")], "tools": [TOOL]})
    assert (status, body["error"]["message"]) == (400, "bad schema")


async def test_an_image_in_a_result_is_a_note_where_tools_are_in_the_prompt() -> None:
    server = Strict(reads_text_only)
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        turn_of("user"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [IMAGE]},
    ]
    async with running(server) as (backend,):
        gateway = Gateway()
        model = ServedModel(MODEL, tools="none", vision=False)
        gateway.serve([Served(Backend(backend.url, "openai"), [model])])
        async with front(gateway) as gate:
            status, record, _ = await ask(gate, *messages, tools=[TOOL])
    assert (status, record) == (200, "rewritten=text-only")
    assert "An attachment (image)" in server.chats[0]["messages"][-1]["content"]


async def test_an_image_in_the_question_is_refused_by_a_model_that_reads_text_only() -> None:
    gateway = Gateway()
    gateway.serve(
        [Served(Backend("http://127.0.0.1:1", "openai"), [ServedModel(MODEL, vision=False)])]
    )
    async with front(gateway) as gate:
        status, _, body = await ask(gate, turn_of("user", [IMAGE]))
    assert (status, body["error"]["code"]) == (400, "unsupported_content")
