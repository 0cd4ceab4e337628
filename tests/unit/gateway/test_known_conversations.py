"""A body is read the same whether or not its beginning was read before."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.backends import MODEL, Call, answer, gateway_with

from stoker import engines
from stoker.gateway.api import request_validation
from stoker.gateway.api.known_conversations import KnownConversations, ParsedBody
from stoker.gateway.api.media_urls import MediaHosts
from stoker.gateway.api.path_rules import CHAT, PATH_RULES
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.relay.backend_request import backend_request
from stoker.tokens.request_form import normal_request

TEXT = "def größe(): return '\"\\'\n" * 60
STEPS = 40


def messages(steps: int, text: str = TEXT) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"role": "system", "content": "You are an agent."}]
    for step in range(steps):
        found.append({"role": "user", "content": f"{step}: {text}"})
        found.append({"role": "assistant", "content": f"{step}. {{}}[],"})
    return [*found, {"role": "user", "content": "Go on."}]


def body(steps: int, **fields: Any) -> bytes:
    request = {"model": MODEL, "messages": messages(steps), "stream": True, **fields}
    return json.dumps(request).encode()


def parse(known: KnownConversations, sent: bytes, owner: str = "ann") -> ParsedBody:
    """Parse a body as the gateway does, which puts messages in their normal form then."""
    parsed = known.parse(owner, sent)
    normal_request(parsed.request)
    return parsed


def known_messages(parsed: ParsedBody) -> int:
    return len(parsed.known.messages) if parsed.known else 0


def read_before(*bodies: bytes) -> KnownConversations:
    known = KnownConversations()
    for sent in (body(STEPS), body(STEPS), *bodies):  # known the first time, kept the second
        parse(known, sent)
    return known


@pytest.mark.parametrize("spaces", [(", ", ": "), (",", ":"), (" ,\n\t", " : ")])
@pytest.mark.parametrize("first", [{}, {"tools": [], "stop": '"messages":['}])
def test_a_growing_conversation_is_read_as_it_is_and_mostly_known(
    spaces: tuple[str, str], first: dict[str, Any]
) -> None:
    known = KnownConversations()
    shares = []
    for steps in range(STEPS, 2 * STEPS):
        request = {**first, "messages": messages(steps), "last": steps}
        parsed = parse(known, json.dumps(request, separators=spaces).encode())
        assert parsed.request == request
        shares.append(known_messages(parsed) / len(request["messages"]))
    assert min(shares[2:]) > 0.7


def test_another_owner_knows_nothing_of_it() -> None:
    known = read_before()
    assert parse(known, body(STEPS + 1), "ben") == (orjson.loads(body(STEPS + 1)), None)
    assert known_messages(parse(known, body(STEPS + 1))) > STEPS


def test_a_conversation_that_was_changed_is_read_again() -> None:
    known = read_before()
    changed = body(STEPS + 1).replace(b"You are an agent.", b"You are a poet. ")
    assert parse(known, changed) == (orjson.loads(changed), None)


def test_of_two_fields_of_one_name_the_last_one_counts() -> None:
    known = read_before()
    twice = body(STEPS)[:-1] + b', "messages": [{"role": "user", "content": "Another."}]}'
    assert parse(known, twice).request == orjson.loads(twice)
    other = b'{"messages": ' + orjson.dumps(messages(STEPS, "Another text. " * 99)) + b"}"
    for first, second in ((other, body(STEPS)), (body(STEPS), other)):
        both = first[:-1] + b", " + second[1:]
        for _ in range(3):
            assert parse(known, both).request == orjson.loads(both)
        for sent in (other, body(STEPS), body(STEPS + 1)):
            assert parse(known, sent).request == orjson.loads(sent)
    before = b'{"messages": ' + orjson.dumps(messages(STEPS)) + b", " + body(STEPS)[1:]
    for _ in range(3):
        assert parse(known, before).request == orjson.loads(before)


def test_messages_elsewhere_are_no_messages() -> None:
    inner = orjson.dumps(messages(STEPS))
    for sent in (
        b'{"metadata": {"messages": %b}, "messages": %b}' % (inner, inner),
        b'{"messages": %b, "metadata": {"messages": %b}}' % (inner, inner),
    ):
        known = KnownConversations()
        for _ in range(3):
            assert parse(known, sent).request == orjson.loads(sent)


def test_a_message_with_an_address_is_never_known() -> None:
    known = KnownConversations()
    image = {"type": "image_url", "image_url": {"url": "http://10.0.0.1/a.png"}}
    pictured = [*messages(STEPS)[:-1], {"role": "user", "content": [image]}, *messages(STEPS)]
    sent = orjson.dumps({"messages": pictured})
    counts = [known_messages(parse(known, sent)) for _ in range(3)]
    assert counts[-1] == len(messages(STEPS)) - 1


@given(st.integers(0, 70_000), st.integers(0, 400), st.binary(max_size=6))
def test_whatever_is_changed_in_a_body_it_is_read_as_if_nothing_was_known(
    at: int, length: int, put: bytes
) -> None:
    sent = body(STEPS + 1)
    at %= len(sent)
    changed = sent[:at] + put + sent[at + length :]
    try:
        expected = request_validation.parse(changed)
    except BadRequestError as refused:
        with pytest.raises(BadRequestError, match=r"JSON|request") as seen:
            _BEFORE.parse("ann", changed)
        assert str(seen.value) == str(refused)
    else:
        assert _BEFORE.parse("ann", changed).request == expected


_BEFORE = read_before(body(STEPS + 20), body(STEPS + 20))


#: Messages in normal form and in others, among them what Python holds for equal and JSON does not.
_MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "größe \U0001f600 \"\\'{}[],: " * 30},
    {"content": "the other order", "role": "user", "x": 1},
    {"role": "user", "content": "a fraction", "x": 1.0},
    {"role": "user", "content": "a truth", "x": True},
    {"role": "user", "content": "signed", "x": -0.0, "y": 2**64 - 1, "z": 2**70, "e": 1e-7},
    {"role": "user", "content": [{"type": "text", "text": '{"role":"user","content":"in"}'}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,a"}}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://a/b"}}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://ok/b"}}]},
    {"role": "assistant", "content": " "},
    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.0}}}]},
    {"role": "tool", "content": "of no call"},
    {"role": "user", "content": "with a note", "_note": 1},
    {"content": "of no role"},
]
_OTHERS: list[dict[str, Any]] = [
    {},
    {"tools": [{"name": "f"}], "tool_choice": "any"},
    {"metadata": {"messages": messages(STEPS)}},
]
_ENDS = (
    *(b"}", b"", b"}}", b',"model":"other"}', b',"tools":[{"name":"g"}]}', b',"max_tokens":-1}'),
    *(b',"messages":null}', b',"messages":[{"role":"user","content":"Instead."}]}', b',"n":NaN}'),
)
#: What a client that counts, quotes or changes one byte makes of a body.
_EDITS = (
    *((b'"messages"', b'"\\u006dessages"'), (b'"user"', b'"us\\u0065r"'), (b'"x": 1', b'"x": 1e0')),
    *((b'{"role"', b'{"role": "system", "role"'), (b"[{", b"[[], {"), (b"\\u00df", b"\\ud800")),
    *((b"def", b"dEf"), (b"", b"\xef\xbb\xbf"), (b"", b" ")),
)


#: What fitting and rewriting do to messages.
_CHANGES: tuple[Callable[[list[Any]], list[Any]], ...] = (
    *[lambda messages: messages] * 3,
    lambda messages: messages[:-1],
    lambda messages: messages[3:],
    lambda messages: [{**messages[0], "content": "Be brief."}, *messages[1:]],
)


def _sent(known: KnownConversations, owner: str, raw: bytes, at: int) -> object:
    """What a backend gets of a body after a change, or how it is refused."""
    rules, hosts = PATH_RULES[CHAT], MediaHosts(["ok"])
    try:
        body, beginning = known.parse(owner, raw)
        body = request_validation.without_private_fields(body)
        rules.check(body)
        body = rules.normal(body)
        hosts.check(body, len(beginning.messages) if beginning else 0)
        prepared = Prepared({**body, "messages": _CHANGES[at](body["messages"])})
        sent = backend_request(prepared, MODEL, rules, engines.lookup("vllm"), known=beginning)
    except BadRequestError as error:
        return str(error), error.status, error.code, error.param
    fields = json.loads(b"".join(sent.payload), object_pairs_hook=list)  # a name may come twice
    return repr(sorted(fields, key=repr))


@st.composite
def _bodies(draw: st.DrawFn) -> bytes:
    """A conversation that began as others did, and went on otherwise, and perhaps a broken one."""
    begun = messages(draw(st.sampled_from((STEPS, STEPS + 10, STEPS + 30))))[:-1]
    other = draw(st.lists(st.sampled_from(_MESSAGES), max_size=4))
    at = draw(st.sampled_from((len(begun), STEPS, 0)))
    conversation = [*begun[:at], *other, *begun[at:], {"role": "user", "content": "Go on."}]
    request = {"messages": conversation, **draw(st.sampled_from(_OTHERS))}
    if draw(st.booleans()):
        request = dict(reversed(request.items()))
    raw = json.dumps(request).encode()[:-1] + draw(st.sampled_from(_ENDS))
    old, new = draw(st.sampled_from((*_EDITS, *[(b"", b"")] * len(_EDITS))))
    return raw.replace(old, new, 1)


_REQUESTS = st.tuples(st.sampled_from("ab"), _bodies(), st.integers(0, len(_CHANGES) - 1))


@given(st.lists(_REQUESTS, min_size=2, max_size=6))
def test_a_backend_gets_the_same_whatever_is_known(sent: list[tuple[str, bytes, int]]) -> None:
    known = KnownConversations()
    for owner, raw, change in sent:
        for _ in range(3):
            seen = _sent(known, owner, raw, change)
            assert seen == _sent(KnownConversations(), owner, raw, change)


def test_what_takes_much_memory_is_not_kept_and_displaces_nothing() -> None:
    known = read_before()
    heavy = {"role": "user", "content": "", "x": [{"a": 1}] * 400_000}  # 3 MB, and 90 in Python
    sent = orjson.dumps({"messages": [heavy, *messages(1)]})
    assert [known_messages(parse(known, sent)) for _ in range(3)] == [0, 0, 0]
    assert known_messages(parse(known, body(STEPS + 1))) > STEPS


async def _answered(call: Call) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}}
    await call.send(answer(orjson.dumps({"choices": [choice]})))


async def test_a_backend_gets_the_whole_conversation_at_every_step() -> None:
    async with gateway_with(_answered) as (served, (backend,)):
        for steps in range(STEPS, STEPS + 6):
            assert (await served.post(body(steps, stream=False))).status == 200
            sent = backend.calls[-1].body
            assert sent == {**orjson.loads(body(steps)), "stream": False}


async def test_an_address_is_refused_each_time_that_it_comes() -> None:
    image = {"type": "image_url", "image_url": {"url": "http://10.0.0.1/a.png"}}
    pictured = [*messages(STEPS), {"role": "user", "content": [image]}, *messages(2)]
    async with gateway_with(_answered) as (served, (backend,)):
        for _ in range(3):
            sent = orjson.dumps({"model": MODEL, "messages": pictured})
            reply = await served.post(sent)
            assert reply.error["code"] == "media_url_not_allowed"
        assert backend.calls == []
