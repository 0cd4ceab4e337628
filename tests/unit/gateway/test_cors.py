"""Web pages ask with an ``Origin``: those that are allowed are answered, others are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.gateway.backends import Front, gateway_with
from tests.unit.gateway.test_backend_faults import fine

from stoker.gateway.gateway_config import load
from stoker.gateway.middleware.cors import Origins

PAGE = "https://v--1abc.vscode-cdn.net"
ASKS = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


async def options(front: Front, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
    async with front.http.options(front.url + "/v1/chat/completions", headers=headers) as response:
        return response.status, response.headers


def allow(front: Front, *patterns: str) -> None:
    front.gateway.use_origins(Origins(patterns))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", ""])
async def test_a_page_that_is_not_allowed_reaches_no_backend(origin: str) -> None:
    async with gateway_with(fine) as (front, (backend,)):
        body = b'{"messages": [{"role": "user", "content": "hi"}]}'
        # A "simple" request, which a browser sends to any server without asking before.
        headers = {"Origin": origin, "Content-Type": "text/plain"}
        reply = await front.post(body, headers=headers)
        assert reply.status == 403
        assert b"allowed_origins" in reply.body
        assert "Access-Control-Allow-Origin" not in reply.headers
        assert (await options(front, {"Origin": origin, **ASKS}))[0] == 403
        assert not backend.calls


async def test_an_allowed_page_learns_what_it_may_send_and_reads_the_answer() -> None:
    async with gateway_with(fine) as (front, _):
        allow(front, "https://*.vscode-cdn.net")
        status, reported = await options(front, {"Origin": PAGE, **ASKS})
        assert status == 204
        assert reported["Access-Control-Allow-Origin"] == PAGE
        assert reported["Access-Control-Allow-Headers"] == "authorization,content-type"
        assert "POST" in reported["Access-Control-Allow-Methods"]
        body = b'{"messages": [{"role": "user", "content": "hi"}], "stream": true}'
        reply = await front.post(body, headers={"Origin": PAGE})
        assert reply.status == 200
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE
        assert "x-stoker-fit" in reply.headers["Access-Control-Expose-Headers"]
        assert reply.headers["Vary"] == "Origin"


async def test_an_allowed_page_reads_refusals_too() -> None:
    async with gateway_with(fine) as (front, _):
        allow(front, PAGE + "/")
        reply = await front.post(b"{", headers={"Origin": PAGE})
        assert reply.status == 400
        assert reply.headers["Access-Control-Allow-Origin"] == PAGE


async def test_a_pattern_allows_no_other_host() -> None:
    async with gateway_with(fine) as (front, _):
        allow(front, "https://*.vscode-cdn.net")
        for origin in ("https://vscode-cdn.net.evil.example", "http://x.vscode-cdn.net"):
            assert (await options(front, {"Origin": origin, **ASKS}))[0] == 403


async def test_a_public_page_may_reach_into_the_private_network_where_it_is_allowed() -> None:
    async with gateway_with(fine) as (front, _):
        allow(front, PAGE)
        asks = {"Origin": PAGE, **ASKS, "Access-Control-Request-Private-Network": "true"}
        assert (await options(front, asks))[1]["Access-Control-Allow-Private-Network"] == "true"


async def test_programs_and_pages_of_this_server_need_no_leave() -> None:
    async with gateway_with(fine) as (front, _):
        reply = await front.chat()
        assert reply.status == 200
        assert "Access-Control-Allow-Origin" not in reply.headers
        body = b'{"messages": [{"role": "user", "content": "hi"}]}'
        assert (await front.post(body, headers={"Origin": front.url})).status == 200


def test_the_configuration_names_the_pages(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[gateway]\nallowed_origins = ["https://*.vscode-cdn.net"]\n'
        '[[backend]]\nurl = "http://127.0.0.1:8001"\n'
    )
    assert load(path).origins.patterns == ("https://*.vscode-cdn.net",)
