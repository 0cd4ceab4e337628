"""No body holds the event loop: it is refused by the number of its values before it is parsed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import orjson
import pytest
from tests.unit.gateway.backends import gateway_with
from tests.unit.gateway.test_backend_faults import fine

from stoker.gateway.api.body_values import MOST_COMMAS, MOST_CONTAINERS, has_too_many
from stoker.gateway.api.request_validation import MAX_MESSAGES

MANY = 1_000_000


def body(content: bytes = b'"hi"', more: bytes = b"") -> bytes:
    return b'{"messages":[{"role":"user","content":%b}]%b}' % (content, more)


def listed(unit: bytes, count: int = MANY) -> bytes:
    return b"[" + b",".join([unit] * count) + b"]"


class LoopWork:
    """What the thread of the event loop did: the functions that it called, and what it parsed."""

    def __init__(self) -> None:
        self.calls = 0
        self.parsed = 0

    def note(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event == "call"
        self.parsed += event == "c_call" and argument is orjson.loads


@contextmanager
def counted() -> Iterator[LoopWork]:
    work = LoopWork()
    sys.setprofile(work.note)
    try:
        yield work
    finally:
        sys.setprofile(None)


REFUSED = {
    "empty lists": body(listed(b"[]")),
    "empty objects": body(listed(b"{}")),
    "parts": body(listed(b'{"type":"text","text":""}', 300_000)),
    "lists in a field of no API": body(more=b',"notes":' + listed(b"[[]]")),
    "numbers": body(more=b',"notes":' + listed(b"1")),
    "strings": body(more=b',"notes":' + listed(b'""')),
    "names": body(more=b',"notes":{' + b",".join(b'"%x":1' % n for n in range(MANY)) + b"}"),
    "messages": b'{"messages":' + listed(b'{"role":"user","content":""}', 300_000) + b"}",
    "tools": body(more=b',"tools":' + listed(b'{"function":{"name":"a"}}', 300_000)),
    "strings without commas": b'{"messages":[' + b'""' * 4_000_000 + b"[," * 60_000,
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_body_of_very_many_values_is_refused_unparsed(sent: bytes, path: str) -> None:
    async with gateway_with(fine) as (front, (backend,)):
        with counted() as small:
            await front.post(b"{}", path)  # is parsed, and so is its refusal
        with counted() as work:
            reply = await front.post(sent, path)
        assert (reply.status, work.parsed) == (413, small.parsed - 1)
        assert b"50,000 lists and objects" in reply.body
        assert work.calls < 20_000  # those of the client, which sends 16 MB in pieces, included
        assert not backend.calls


#: A tenth below what is refused, with an address that makes each value be looked at.
ADDRESS = b'"x":"https://a.example",'
ALLOWED = {
    "lists": (b'{"messages":[{"role":"user","content":"a",%b"y":%b}]}', b"[]", MOST_CONTAINERS),
    "numbers": (b'{"messages":[{"role":"user","content":"a",%b"y":%b}]}', b"1", MOST_COMMAS),
    "messages": (b'{%b"messages":%b}', b'{"role":"user","content":"a"}', MAX_MESSAGES),
    "tools": (
        b'{"messages":[{"role":"user","content":"a"}],%b"tools":%b}',
        b'{"type":"function","function":{"name":"a"}}',
        MOST_CONTAINERS // 2,
    ),
    "parts": (
        b'{%b"messages":[{"role":"user","content":%b}]}',
        b'{"type":"text","text":"a"}',
        MOST_CONTAINERS,
    ),
}
#: Function calls on the event loop for each value: some 0.1 us each.
MOST_CALLS_A_VALUE = 80


@pytest.mark.parametrize(("form", "unit", "most"), ALLOWED.values(), ids=ALLOWED)
async def test_what_the_event_loop_does_grows_with_the_values_alone(
    form: bytes, unit: bytes, most: int
) -> None:
    async with gateway_with(fine) as (front, _):
        calls = []
        for count in (most * 4 // 10, most * 8 // 10):
            with counted() as work:
                await front.post(form % (ADDRESS, listed(unit, count)), "/v1/chat/completions")
            calls.append(work.calls)
    few, many = calls
    assert many < 2.5 * few + 20_000
    assert many < MOST_CALLS_A_VALUE * MAX_MESSAGES


async def test_brackets_and_commas_of_a_text_are_no_values() -> None:
    code = orjson.dumps('f([{}, []], {\'a\': ["1\\\\", "]"]});\n' * 40_000)
    assert code.count(b"[") > MOST_CONTAINERS
    async with gateway_with(fine) as (front, (backend,)):
        assert (await front.post(body(code), "/v1/chat/completions")).status == 200
        assert backend.calls[-1].body["messages"][0]["content"] == orjson.loads(code)


def test_counting_ends_at_the_first_value_too_many() -> None:
    just_enough = listed(b"[]", MOST_CONTAINERS - 1)
    assert not has_too_many(just_enough)
    assert has_too_many(just_enough[:-1] + b",[]]")
    assert has_too_many(listed(b"1", MOST_COMMAS + 2))
    assert not has_too_many(listed(b"1", MOST_COMMAS + 1))
    with counted() as work:
        assert has_too_many(listed(b"[]", 5 * MANY))
    assert work.calls < 10


async def test_other_requests_are_answered_while_values_are_counted() -> None:
    sent = b'{"messages":[' + b'"",' * (MOST_COMMAS - 9) + b'""' + b"[]" * MOST_CONTAINERS
    async with gateway_with(fine) as (front, _):
        counting = asyncio.ensure_future(front.post(sent, "/v1/chat/completions"))
        while not counting.done():
            reply = await front.post(body(), "/v1/chat/completions")
            assert reply.status == 200
        assert (await counting).status in (400, 413)
