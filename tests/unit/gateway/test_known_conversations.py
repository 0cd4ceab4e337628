"""A body is read the same whether or not its beginning was read before."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.backends import MODEL, Call, answer, gateway_with

from stoker.gateway.api import request_validation
from stoker.gateway.api.known_conversations import KnownConversations, ParsedBody
from stoker.gateway.api.request_validation import BadRequestError
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
