"""A wrong path is answered with the one that was meant."""

from __future__ import annotations

import pytest
from tests.unit.gateway.backends import gateway_with
from tests.unit.gateway.test_backend_faults import fine

from stoker.access.api_keys import hash_of, keys_of


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/chat/completions", "Use /v1/chat/completions: add /v1 to the base URL."),
        ("/models", "Use /v1/models: add /v1"),
        ("/v1/v1/messages", "Use /v1/messages: the base URL ends with /v1, and"),
        ("/v1/v1/v1/models", "Use /v1/models: the base URL"),
        ("/v1/infill", "Use /infill: it has no /v1 before it."),
        ("//v1/messages/", "Use /v1/messages."),
        ("/api/chat", "no API of Ollama's"),
        ("/nothing", "lists the paths"),
    ],
)
async def test_wrong_path_is_answered_with_the_right_one(path: str, hint: str) -> None:
    async with gateway_with(fine) as (door, _):
        reply = await door.post(b"{}", path)
    assert (reply.status, reply.error["code"]) == (404, "no_such_path")
    assert hint in reply.error["message"]


async def test_wrong_method_is_answered_with_the_right_one() -> None:
    async with gateway_with(fine) as (door, _):
        reply = await door.post(b"{}", "/v1/models")
        assert reply.status == 405
        assert "Send it with GET or HEAD." in reply.error["message"]
        assert reply.headers["Allow"] == "GET, HEAD"


async def test_a_slash_that_is_written_as_a_code_is_shown_so() -> None:
    async with gateway_with(fine) as (door, _):
        reply = await door.post(b"{}", "/v1%2Fcompletions")
    assert reply.error["message"].startswith(
        "Not Found: POST /v1%2Fcompletions. Use /v1/completions."
    )


async def test_a_client_may_ask_whether_there_is_a_server_without_a_key() -> None:
    keys = keys_of({"ann": hash_of("a-key")})
    async with gateway_with(fine, keys=keys) as (door, _):
        async with door.http.head(door.url + "/") as reply:
            assert reply.status == 200
        async with door.http.head(door.url + "/v1/models") as reply:
            assert reply.status == 401
