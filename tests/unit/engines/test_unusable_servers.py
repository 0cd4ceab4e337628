"""A server that can't be used: each reason is named for what it is, with what to do about it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from stoker.engines import backend_key, connection_errors
from stoker.engines.server_detection import UnusableServerError, recognise

LISTING = {"object": "list", "data": [{"id": "m", "max_model_len": 32768}]}


@asynccontextmanager
async def answering(response: Any, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server whose every path gives this answer."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(**response)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    server = TestServer(app)
    await server.start_server(ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    finally:
        await server.close()


async def refusal(url: str, key: str | None = None, key_env: str | None = None) -> Any:
    with pytest.raises(UnusableServerError) as refused:
        await recognise(url, key, key_env)
    return refused.value


def words(error: UnusableServerError) -> str:
    return f"{error.what} {error.why} {error.fix}"


def context_of(cert: trustme.LeafCert) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    cert.configure_cert(tls)
    return tls


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[trustme.CA]:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    yield authority


async def test_certificate_that_is_not_trusted_is_named_with_the_way_to_trust_it(
    authority: trustme.CA,
) -> None:
    tls = context_of(authority.issue_cert("127.0.0.1"))
    async with answering({"body": b"{}"}, tls) as url:
        error = await refusal(url)
    assert error.cause == "its certificate is not trusted"
    assert "unable to get local issuer certificate" in error.why
    assert "SSL_CERT_FILE=/path/to/ca.pem" in error.fix
    assert "Nothing answers" not in error.what


@pytest.mark.parametrize(
    ("name", "ended", "cause"),
    [
        ("127.0.0.1", True, "its certificate has expired"),
        ("llm.example", False, "its certificate is for another name"),
        ("10.1.1.1", False, "its certificate is for another name"),
    ],
)
def test_certificate_of_another_time_or_name_is_named(
    trusted: trustme.CA, name: str, ended: bool, cause: str
) -> None:
    past = datetime.now(timezone.utc) - timedelta(days=1)
    issued = trusted.issue_cert(name, not_after=past) if ended else trusted.issue_cert(name)
    client, server = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = ssl.create_default_context().wrap_bio(client, server, server_hostname="127.0.0.1")
    there = context_of(issued).wrap_bio(server, client, server_side=True)
    with pytest.raises(ssl.SSLError) as refused:
        for _ in range(4):
            for side in (here, there):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
    assert connection_errors.explain(refused.value).cause == cause


async def test_http_to_a_port_of_tls_is_named(authority: trustme.CA) -> None:
    tls = context_of(authority.issue_cert("127.0.0.1"))
    async with answering({"body": b"{}"}, tls) as url:
        error = await refusal(url.replace("https", "http"))
    assert "its port speaks TLS" in error.cause
    assert error.fix == "Write https://."


@pytest.mark.parametrize(
    "body",
    [b"Client sent an HTTP request to an HTTPS server.\n",  # Go
     b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"],  # nginx
)  # fmt: skip
async def test_http_to_a_port_of_tls_is_named_by_servers_that_answer_it(body: bytes) -> None:
    async with answering({"status": 400, "body": body}) as url:
        assert "its port speaks TLS" in (await refusal(url)).cause


async def test_https_to_a_port_without_tls_is_named() -> None:
    async with answering({"body": b"{}"}) as url:
        error = await refusal(url.replace("http", "https"))
    assert "speaks no TLS" in error.cause
    assert error.fix == "Write http://."


async def test_unknown_name_is_named() -> None:
    error = await refusal("http://no-such-host.invalid:8000")
    assert error.cause == "its name is not known to this machine"


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"status": 307, "headers": {"Location": "https://llm.example/v1/models?t=secret"}},
         "redirects to another one. It leads to https://llm.example."),
        ({"status": 302, "headers": {"Location": "/login"}}, "/login"),
        ({"status": 302, "headers": {"Location": "http://[::1"}}, "It names no target"),
        ({"status": 302}, "It names no target"),
        ({"status": 407}, "A proxy on the way"),
        ({"status": 403, "text": "Access from 10.1.1.1 is denied"}, "10.1.1.1 is denied"),
        ({"status": 503, "text": '{"error":{"message":"Loading model"}}'}, "Loading model"),
        ({"status": 200, "text": "<!doctype html><html><title>Open WebUI</title></html>"},
         "a web page, 'Open WebUI'"),
        ({"status": 404, "text": "404 page not found"}, "has no /v1/models (404)"),
        ({"status": 500, "text": "disk is full"}, "disk is full"),
        ({"status": 200, "text": '{"data": []}'}, "lists no models"),
        ({"status": 200, "text": '{"hello": "world"}'}, "no list of models"),
        ({"status": 200, "text": "hello"}, "not JSON"),
    ],
)  # fmt: skip
async def test_server_that_is_no_api_is_named_for_what_it_is(
    response: Mapping[str, Any], expected: str
) -> None:
    async with answering(response) as url:
        error = await refusal(url)
    assert expected in words(error)
    assert error.fix
    assert "secret" not in words(error)
    assert "127.0.0.1" not in error.cause


async def test_wrong_key_and_no_key_are_distinguished() -> None:
    async with answering({"status": 401, "text": '{"error": "Invalid key"}'}) as url:
        without, wrong = await refusal(url), await refusal(url, "a-secret", "K")
        quoted = await refusal(url, '"a-secret"', "K")
    assert "requires a key (401)" in without.what
    assert "--key-env NAME" in without.fix
    assert "refuses the key in K (401)" in wrong.what
    assert "--key-env" not in wrong.fix
    assert "quotes" in quoted.fix
    assert "quotes" not in wrong.fix
    assert "a-secret" not in words(wrong) + words(quoted)


@pytest.mark.parametrize("stored", ["abc\n", "abc\r\n", " abc ", "\ufeffabc", "\tabc\n\n"])
def test_key_loses_what_files_add_at_its_ends(stored: str) -> None:
    assert backend_key.cleaned(stored) == "abc"


@pytest.mark.parametrize("stored", ["", " \n", "a\nb", "a\x00b", "schl\u00fcssel"])
def test_key_that_no_header_can_hold_is_refused_without_being_shown(stored: str) -> None:
    with pytest.raises(ValueError, match=r"empty|character") as refused:
        backend_key.cleaned(stored)
    assert stored == "" or stored not in str(refused.value)
