"""JSON answers are HTTP for every client: older ones, those that ask for the head alone."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.gateway.backends import Front, chat_bytes, front

from stoker.access.api_keys import hash_of, keys_of
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.gateway.api.json_answers import JsonAnswer
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext


def gateway() -> Gateway:
    made = Gateway()
    made.serve([Served(Backend("http://127.0.0.1:9", "openai"), [ServedModel("m")])])
    return made


async def asked(served: Front, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to the last request of a connection, which ends then."""
    reader, writer = await served.connect()
    writer.write(request)
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    return head.lower(), body


async def test_client_that_asks_for_the_head_alone_gets_no_body() -> None:
    async with front(gateway()) as served:
        rest = b" /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        whole, body = await asked(served, b"GET" + rest)
        head, nothing = await asked(served, b"HEAD" + rest)
        assert nothing == b""
        assert f"content-length: {len(body)}".encode() in whole
        assert sorted(head.split(b"\r\n")[1:]) == sorted(whole.split(b"\r\n")[1:])


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_connection_ends_where_its_client_wants_that(version: bytes) -> None:
    async with front(gateway()) as served:
        request = b"GET /v1/models HTTP/" + version + b"\r\nHost: localhost\r\n"
        head, body = await asked(served, request + b"Connection: close\r\n\r\n")
        assert head.startswith(b"http/" + version + b" 200 ok\r\n")
        assert b"connection: close" in head
        assert body.startswith(b'{"object":"list"')


async def test_older_client_keeps_its_connection_where_it_asks_for_that() -> None:
    async with front(gateway()) as served:
        reader, writer = await served.connect()
        request = b"GET /health HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n"
        for _ in range(2):
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert b"\r\nConnection: keep-alive\r\n" in head
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await asyncio.wait_for(reader.readexactly(length), 10)
        writer.close()


class Splits:
    """A check whose answer has a header with a line end."""

    def __init__(self, state: GatewayState) -> None: ...

    async def check(self, context: RequestContext, /) -> JsonAnswer:
        return JsonAnswer(b"{}", headers={"x-model": "a\r\nSet-Cookie: b"})


async def test_header_with_a_line_end_is_never_sent() -> None:
    async with front(Gateway(model_request=(Splits,))) as served:
        head, _ = await asked(served, chat_bytes())
        assert head == b""


async def test_page_whose_name_is_no_utf_8_is_answered() -> None:
    headers = b"Host: a\xff\r\nOrigin: http://a\xff\r\nConnection: close\r\n\r\n"
    async with front(Gateway(keys_of({"ann": hash_of("s3cret")}))) as served:
        own = b"Authorization: Bearer s3cret\r\n" + headers
        head, _ = await asked(served, b"GET /v1/models HTTP/1.1\r\n" + own)
        assert head.startswith(b"http/1.1 200 ")
        assert b"access-control-allow-origin: http://a\xff\r\n" in head
        foreign = headers.replace(b"Host: a\xff", b"Host: b")
        head, body = await asked(served, b"GET /v1/models HTTP/1.1\r\n" + foreign)
        assert head.startswith(b"http/1.1 403 ")
        assert b"origin_not_allowed" in body


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("wanted", [b"close", b"keep-alive"])
async def test_answer_to_an_unreadable_body_names_the_end_of_its_connection_once(
    version: bytes, wanted: bytes
) -> None:
    request = chat_bytes().replace(b"HTTP/1.1\r\n", b"HTTP/" + version + b"\r\n")
    headers = b"Content-Encoding: gzip\r\nConnection: " + wanted + b"\r\n\r\n"
    async with front(gateway()) as served:
        head, _ = await asked(served, request.replace(b"\r\n\r\n", b"\r\n" + headers, 1))
        assert head.startswith(b"http/" + version + b" 400 ")
        connection = [line for line in head.split(b"\r\n") if line.startswith(b"connection:")]
        assert connection == [b"connection: close"]
