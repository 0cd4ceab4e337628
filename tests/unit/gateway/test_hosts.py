"""A web page that rebinds its own name to this machine reads nothing; clients notice nothing."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from tests.unit.gateway.backends import Front, gateway_with
from tests.unit.gateway.test_backend_faults import fine

from stoker.access.api_keys import hash_of, keys_of
from stoker.gateway.gateway_config import load
from stoker.gateway.middleware.served_names import ServedNames

PATHS = ("/v1/models", "/info", "/metrics", "/v1/models/coder", "/nothing")


async def status_of(front: Front, host: str, path: str = "/info", *lines: str) -> int:
    reader, writer = await front.connect()
    given = [f"GET {path} HTTP/1.1", f"Host: {host}", *lines]
    writer.write("\r\n".join([*given, "Connection: close", "", ""]).encode("latin-1"))
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(answer.split()[1])


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil",
        "evil.local",
        "evil.internal",
        "localhost:8000:evil.example",
        "[::1].evil.example",
        "",
        "\xff",
    ],
)
async def test_a_foreign_name_reads_nothing(host: str) -> None:
    async with gateway_with(fine) as (front, _):
        for path in PATHS:
            assert await status_of(front, host, path) in (400, 403), path


@pytest.mark.parametrize(
    "host",
    [
        "localhost:8000",
        "LOCALHOST",
        "localhost.",
        "app.localhost:3000",
        "127.0.0.1:8000",
        "127.8.8.8",
        "[::1]:8000",
        "192.168.7.7:8000",
        "[fe80::1]:8000",
        "host.docker.internal:8000",
        socket.gethostname(),
        f"{socket.gethostname().partition('.')[0]}.local:8000",
    ],
)
async def test_this_machines_names_and_all_addresses_are_served(host: str) -> None:
    async with gateway_with(fine) as (front, _):
        assert await status_of(front, host) == 200


async def test_a_page_of_the_foreign_name_itself_is_refused_too() -> None:
    async with gateway_with(fine) as (front, (backend,)):
        headers = {"Host": "evil.example", "Origin": "http://evil.example"}
        body = b'{"messages": [{"role": "user", "content": "hi"}]}'
        reply = await front.post(body, headers=headers)
        assert (reply.status, reply.error["code"]) == (403, "host_not_allowed")
        assert "allowed_hosts" in reply.error["message"]
        assert not backend.calls


async def test_neither_a_second_header_nor_an_absolute_uri_hides_the_name() -> None:
    async with gateway_with(fine) as (front, _):
        twice = "Host: evil.example"
        assert await status_of(front, "localhost", "/info", twice) in (400, 403)
        assert await status_of(front, "localhost", "http://evil.example/info") == 403
        assert await status_of(front, "evil.example", "http://localhost/info") == 403
        assert await status_of(front, "localhost", "http://localhost/info") == 200


async def test_a_client_with_a_key_may_use_any_name() -> None:
    async with gateway_with(fine, keys=keys_of({"ann": hash_of("k")})) as (front, _):
        key = "Authorization: Bearer k"
        assert await status_of(front, "models.example.com", "/info", key) == 200
        assert await status_of(front, "models.example.com", "/info") == 401


async def test_load_balancers_learn_by_any_name_whether_it_runs() -> None:
    async with gateway_with(fine) as (front, _):
        assert await status_of(front, "lb.example", "/health") == 200


async def test_the_owner_adds_names(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[gateway]\nallowed_hosts = ["models.example.com", "*.Corp.example"]\n'
        '[[backend]]\nurl = "http://127.0.0.1:8001"\n'
    )
    async with gateway_with(fine) as (front, _):
        front.gateway.use_served_names(load(path).served_names)
        assert await status_of(front, "models.example.com:443") == 200
        assert await status_of(front, "a.corp.example.") == 200
        assert await status_of(front, "corp.example") == 403
        front.gateway.use_served_names(ServedNames())
        assert await status_of(front, "models.example.com") == 403


async def test_a_page_without_an_origin_is_no_page_of_a_server_without_a_name() -> None:
    async with gateway_with(fine) as (front, _):
        assert await status_of(front, "", "/health", "Origin: null") == 403


async def test_what_another_site_embeds_is_refused_and_a_followed_link_is_not() -> None:
    async with gateway_with(fine) as (front, _):
        cross = "Sec-Fetch-Site: cross-site"
        link = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
        framed = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe")
        assert await status_of(front, "localhost", "/info", cross) == 403
        assert await status_of(front, "localhost", "/info", cross, *framed) == 403
        assert await status_of(front, "localhost", "/info", cross, *link) == 200
        assert await status_of(front, "localhost", "/info", "Sec-Fetch-Site: none") == 200
