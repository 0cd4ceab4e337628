"""Tool calls, which agent mode is built on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from stoker.checks.agent_tools import agent_system, agent_tools
from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported, TooLate
from stoker.checks.raw_http import Reply
from stoker.checks.target import (
    Endpoint,
    accepted,
    after_pieces,
    answered,
    choice,
    content,
    deltas,
    error_message,
    expect,
    finish_of,
    message,
    optional,
    thought,
    usage,
    user,
)

table = Table("tools", "Tools")
_AGENT = (Use.AGENT,)
#: Enough for a call, and for reasoning before it.
_CALL_TOKENS = 256
#: Users do not wait longer than this for an answer to begin.
_AGENT_S = 60.0


def _function(name: str, does: str, field: str, *values: str) -> dict[str, Any]:
    """A tool whose only argument is one of a few values, which any model can fill in."""
    schema = {"type": "string", "enum": list(values), "description": f"The {field}."}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": does,
            "parameters": {"type": "object", "properties": {field: schema}, "required": [field]},
        },
    }


_WEATHER = _function("get_weather", "Get the weather of a city.", "city", "Paris", "Rome")
_TIME = _function("get_time", "Get the time of a city.", "city", "Paris", "Rome")
_TOOLS = [_WEATHER, _TIME]
_QUESTION = "What is the weather in Paris? Use the tool get_weather."
_NAMED = {"type": "function", "function": {"name": "get_time"}}


@table.check(
    "auto",
    "Tools are accepted, and a call is returned in `tool_calls`, not as text.",
    why="A call inside the text is shown to the user, and no tool runs.",
    fix="vLLM: --enable-auto-tool-choice --tool-call-parser NAME; without them it refuses tools, "
    "even behind Stoker's gateway. llama.cpp: --jinja. If tools are accepted and calls end up in "
    "the text, put Stoker's gateway in front, which finds them.",
    needed_for=_AGENT,
)
def auto(endpoint: Endpoint) -> str:
    from stoker.tokens.tool_calls import parse_answer  # noqa: PLC0415  (the tokenizer's libraries)

    answer = answered(_offer(endpoint, "auto"))
    if message(answer).get("tool_calls"):
        return f"called {_name(_calls(answer)[0])}"
    text = content(answer)
    found = parse_answer(text, _TOOLS)[1]
    expect(not found, f"the call is in the text: {text[:160]}")
    return "the model answered with text, without a call"


@table.check(
    "required",
    "`tool_choice: required` gives a call whose arguments are JSON that fits the schema.",
    why="Editors demand a call when text would be useless.",
    fix="Use an engine that constrains the answer; Stoker's gateway forwards it or emulates it.",
    helps=_AGENT,
)
def required(endpoint: Endpoint) -> str:
    call = _demanded(endpoint, "required")
    arguments = _arguments(call)
    expect(set(arguments) == {"city"}, f"the arguments are {arguments}")
    expect(arguments["city"] in ("Paris", "Rome"), f"the city is {arguments['city']!r}")
    return f"{_name(call)}({arguments['city']})"


@table.check(
    "named",
    "A `tool_choice` that names a tool gives a call of that tool.",
    why="Editors request an edit or a title this way.",
    fix="See tools.required.",
    helps=_AGENT,
)
def named(endpoint: Endpoint) -> str:
    call = _demanded(endpoint, _NAMED)
    expect(_name(call) == "get_time", f"it called {_name(call)}")
    return _name(call)


@table.check(
    "none",
    "`tool_choice: none` gives no call.",
    why="In its last turn an agent sums up; another call there starts it over.",
    fix="Neither parse calls nor constrain the answer where the choice is none.",
)
def none(endpoint: Endpoint) -> str:
    answer = answered(optional(_offer(endpoint, "none", tokens=32)))
    expect(not message(answer).get("tool_calls"), "it called a tool")
    return "no call"


@table.check(
    "form",
    "A call has a unique id, the type `function`, and arguments as a string.",
    why="The result is sent back under the id; without it the conversation can't continue.",
    fix="Give every call an id, and its arguments as a JSON string, not as an object.",
    needed_for=_AGENT,
)
def form(endpoint: Endpoint) -> str:
    calls = _any_calls(endpoint)
    ids = [call.get("id") for call in calls]
    expect(all(isinstance(i, str) and i for i in ids), f"the ids are {ids}")
    expect(len(set(map(str, ids))) == len(ids), f"two calls have the same id: {ids}")
    for call in calls:
        expect(call.get("type") == "function", f"the type is {call.get('type')!r}")
        given = (call.get("function") or {}).get("arguments")
        expect(isinstance(given, str), f"the arguments are not a string: {given!r}")
    return f"{len(calls)} call, id {ids[0]}"


@table.check(
    "finish",
    "An answer with calls has the finish reason `tool_calls`.",
    why="It makes the editor run the tools instead of ending the turn.",
    fix="Set finish_reason to `tool_calls` where there are calls.",
    helps=_AGENT,
)
def finish(endpoint: Endpoint) -> str:
    answer = answered(optional(_offer(endpoint, "required")))
    _calls(answer)
    reason = choice(answer).get("finish_reason")
    expect(reason == "tool_calls", f"finish_reason is {reason!r}")
    return "tool_calls"


@table.check(
    "parallel",
    "Several calls in one answer are distinguishable.",
    why="Agents read several files in one turn.",
    fix="Optional; it depends on the model. Give each call its own index and id.",
)
def parallel(endpoint: Endpoint) -> str:
    question = "Call get_weather for Paris and get_time for Rome, both now, in one answer."
    fields = {"tools": _TOOLS, "tool_choice": "auto", "parallel_tool_calls": True}
    calls = message(
        answered(optional(endpoint.chat(question, max_tokens=_CALL_TOKENS, **fields)))
    ).get("tool_calls")
    if not calls or len(calls) < 2:
        raise NotSupported(f"the model made {len(calls or [])} call")
    ids = [call["id"] for call in calls if call.get("id")]
    expect(len(set(ids)) == len(ids), f"two calls have the same id: {ids}")
    return f"{len(calls)} calls"


@table.check(
    "stream",
    "A streamed call has its index, id and name first, then arguments that join to JSON.",
    why="Editors stream everything; a call whose pieces can't be joined is lost.",
    fix="Stream calls as OpenAI does; Stoker's gateway does so for engines that do not.",
    needed_for=_AGENT,
)
def stream(endpoint: Endpoint) -> str:
    reply = accepted(optional(_offer_stream(endpoint)))
    pieces = [piece for delta in deltas(reply) for piece in delta.get("tool_calls") or []]
    if not pieces:
        _no_call()
    expect(all(isinstance(p.get("index"), int) for p in pieces), "a piece of a call has no index")
    first = [p for p in pieces if p["index"] == pieces[0]["index"]]
    head = first[0].get("function") or {}
    expect(first[0].get("id") and head.get("name"), f"the first piece is {first[0]}")
    joined = "".join(str((p.get("function") or {}).get("arguments") or "") for p in first)
    expect(_json_object(joined) is not None, f"the pieces join to {joined[:120]!r}")
    expect(finish_of(reply) == "tool_calls", f"finish_reason is {finish_of(reply)!r}")
    return f"{head['name']} in {len(first)} pieces"


@table.check(
    "round-trip",
    "The result of a call is accepted and answered.",
    why="Every tool call is followed by its result.",
    fix="Use a chat template that renders calls and results; Stoker's gateway writes them as text "
    "for models whose template does not.",
    needed_for=_AGENT,
)
def round_trip(endpoint: Endpoint) -> str:
    call = {
        "id": "call_stoker_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
    }
    past: list[dict[str, Any]] = [
        user(_QUESTION),
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    result = "It is 21 degrees and sunny in Paris. " * 8
    messages = [*past, {"role": "tool", "tool_call_id": "call_stoker_1", "content": result}]
    answer = answered(endpoint.chat(messages, tools=_TOOLS, max_tokens=24))
    reply = message(answer)
    expect(reply.get("content") or reply.get("tool_calls") or thought(reply), "the answer is empty")
    read = usage(answer)["prompt_tokens"]
    short = [*past, {**messages[-1], "content": "sunny"}]
    less = usage(answered(endpoint.chat(short, tools=_TOOLS, max_tokens=1)))["prompt_tokens"]
    expect(read >= less + 30, "the result did not reach the model")
    return f"{read} prompt tokens with call and result"


@table.check(
    "reach-model",
    "Tools are part of the prompt.",
    why="Some servers accept tools and silently drop them: the model then never calls any.",
    fix="Use a chat template that renders tools, or Stoker's gateway, which writes them as text.",
    needed_for=_AGENT,
)
def reach_model(endpoint: Endpoint) -> str:
    bare = usage(answered(endpoint.chat("Hi", max_tokens=1)))["prompt_tokens"]
    offered = answered(optional(endpoint.chat("Hi", max_tokens=1, tools=_TOOLS)))
    full = usage(offered)["prompt_tokens"]
    expect(full >= bare + 20, f"{bare} prompt tokens without tools, {full} with two")
    return f"{full - bare} prompt tokens for two tools"


@table.check(
    "agent-prompt",
    "A request with 40 tools is accepted, and its answer begins within 60 seconds.",
    why="Agent mode sends this with every question, however small the context window is.",
    fix="Give the model a context window of 32K and a GPU, or put Stoker's gateway in front: it "
    "leaves out the least relevant tools until the prompt fits the window and the time.",
    needed_for=_AGENT,
)
def agent_prompt(endpoint: Endpoint) -> str:
    messages = [{"role": "system", "content": agent_system()}, user("What does a.py do?")]
    try:
        reply = endpoint.stream(
            messages,
            tools=agent_tools(),
            until=after_pieces(3),
            limit_s=_AGENT_S,
        )
    except TooLate:
        endpoint.settle()
        raise Failed(f"no answer began within {_AGENT_S:.0f} s") from None
    expect(reply.ok, f"refused with status {reply.status}: {error_message(reply)[:200]}")
    expect(deltas(reply), f"no answer began within {_AGENT_S:.0f} s: {reply.cut or reply.text}")
    return f"the answer began after {reply.first_s:.1f} s"


def _offer(endpoint: Endpoint, how: object, *, tokens: int = _CALL_TOKENS) -> Reply:
    """Offer two tools. Raises ``NotSupported`` where the server refuses the choice ``how``."""
    reply = endpoint.chat(_QUESTION, tools=_TOOLS, tool_choice=how, max_tokens=tokens)
    return optional(reply)


def _offer_stream(endpoint: Endpoint) -> Reply:
    """A streamed call: required where the server supports that, else left to the model."""
    for how in ("required", "auto"):
        reply = endpoint.stream(_QUESTION, tools=_TOOLS, tool_choice=how, max_tokens=_CALL_TOKENS)
        if not reply.refused:
            break
    return reply


def _any_calls(endpoint: Endpoint) -> list[dict[str, Any]]:
    for how in ("required", "auto"):
        reply = endpoint.chat(_QUESTION, tools=_TOOLS, tool_choice=how, max_tokens=_CALL_TOKENS)
        if not reply.refused:
            break
    return _calls(answered(optional(reply)))


def _demanded(endpoint: Endpoint, how: object) -> dict[str, Any]:
    """The call of a server that accepts the choice ``how``. Raises ``Failed`` without one."""
    answer = answered(_offer(endpoint, how))
    calls = message(answer).get("tool_calls")
    if not calls:
        text = content(answer)[:160] or "(empty)"
        raise Failed(f"the request was accepted, and no call came; the text is: {text}")
    call: dict[str, Any] = calls[0]
    return call


def _calls(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls of an answer. Raises ``NotSupported`` without any."""
    calls = message(answer).get("tool_calls")
    if not calls:
        _no_call()
    return [call for call in calls if isinstance(call, dict)]


def _no_call() -> NoReturn:
    raise NotSupported("the model made no call; see tools.required")


def _name(call: Mapping[str, Any]) -> str:
    return str((call.get("function") or {}).get("name"))


def _arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    given = (call.get("function") or {}).get("arguments")
    found = given if isinstance(given, dict) else _json_object(str(given))
    if found is None:
        raise Failed(f"the arguments are not a JSON object: {str(given)[:120]}")
    return found


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
