"""Canaries in every input of the gateway: none is in its log, its metrics or what it reports."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from tests.support.oidc_issuer import issuing
from tests.unit.gateway.backends import (
    MODEL,
    Call,
    Front,
    answer,
    gateway_to,
    gateway_with,
    running,
)
from tests.unit.gateway.test_backend_faults import dies_before_a_byte, fine
from tests.unit.gateway.test_intrusion import answered
from tests.unit.gateway.test_sign_on import WRONG, forged, trusting

from stoker.access.api_keys import Keys, hash_of, keys_of
from stoker.access.caller import Caller
from stoker.access.sign_on.sign_on_rules import SignOnRules
from stoker.errors import StokerError
from stoker.gateway.gateway_config import load
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.pipeline import MODEL_REQUEST
from stoker.gateway.request_context import Handler, RequestContext

KEY = "canary-key-of-ann"
ENGINE_KEY = "canary-key-of-the-engine"


def chat(**fields: Any) -> dict[str, Any]:
    """A chat with a canary in each place that a client fills."""
    tool = {
        "name": "canary_tool",
        "description": "canary-description",
        "parameters": {"type": "object", "properties": {"canary_parameter": {"const": "canary"}}},
    }
    call = {"id": "canary-id", "type": "function", "function": {"name": "f", "arguments": "canary"}}
    return {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "canary-system"},
            {"role": "user", "content": "canary-question", "name": "canary-name"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "canary-id", "content": "canary-result"},
            {"role": "user", "content": [{"type": "text", "text": "canary-part"}]},
        ],
        "tools": [{"type": "function", "function": tool}],
        "user": "canary-user",
        "metadata": {"canary-name": "canary-value"},
        "stop": ["canary-stop"],
        "prompt_cache_key": "canary-cache",
        "canary_field": "canary",
        **fields,
    }


HEADERS = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "canary=trace",
    "baggage": "canary=baggage",
    "User-Agent": "canary-agent",
    "Cookie": "canary=cookie",
    "Referer": "http://localhost/canary",
    "x-session-id": "canary-session",
    "x-request-id": "canary-request",
    "x-canary": "canary",
}

#: Requests that end in every way: answered, refused by each stage, and by a bug.
ENDS: dict[str, dict[str, Any]] = {
    "answered": chat(),
    "streamed": chat(stream=True),
    "of an unknown model": chat(model="canary-model"),
    "of the wrong type": chat(max_tokens="canary"),
    "with an address": chat(
        messages=[{"role": "user", "content": [{"image_url": "http://canary.example/"}]}]
    ),
    "that the gateway fails on": chat(seed="canary-bug"),
}


class _HasBug:
    """A stage that fails on one request, with an error that quotes it."""

    def __init__(self, state: GatewayState) -> None:
        """It needs nothing."""

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> Any:
        if context.body.get("seed") == "canary-bug":
            try:
                {}[context.body["user"]]
            except KeyError as error:
                raise ValueError(f"{context.body} of {KEY}") from error
        return await proceed(context)


async def refuses(call: Call) -> None:
    """As servers do that quote the request."""
    error = {"message": f"canary: {orjson.dumps(call.body).decode()}", "type": "invalid", "code": 1}
    await call.send(answer(orjson.dumps({"error": error}), status=400))


async def nonsense(call: Call) -> None:
    """An answer that is no JSON, and quotes the request."""
    await call.send(answer(b"canary " + orjson.dumps(call.body), status=200))


async def _asked_all(front: Front) -> None:
    headers = {**HEADERS, "Authorization": f"Bearer {KEY}"}
    for body in ENDS.values():
        await front.post(orjson.dumps(body), "/v1/chat/completions?key=canary-query", headers)
    for path in ("/v1/canary-path", "/v1/%0d%0acanary-line", f"/v1/models/{KEY}"):
        async with front.http.get(front.url + path, headers=headers) as response:
            assert response.status == 404
    await front.post(b'{"canary', headers=headers)
    await front.post(orjson.dumps(chat()), headers={**HEADERS, "x-api-key": "canary-wrong"})


@pytest.mark.parametrize("backend", [fine, refuses, nonsense, dies_before_a_byte])
async def test_what_a_client_sends_is_in_no_log_and_no_metric(
    backend: Callable[[Call], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "stoker")
    keys = Keys({hash_of(KEY): Caller("ann", role="admin")})
    row = (*MODEL_REQUEST, _HasBug)
    async with running(backend) as (scripted,):
        async with gateway_to(scripted.url, keys=keys, model_request=row) as front:
            await _asked_all(front)
            reports = [f"{record.getMessage()} {record.exc_text}" for record in caplog.records]
            for path in ("/metrics", "/info", "/v1/models", "/ui", "/ui/live"):
                headers = {"Authorization": f"Bearer {KEY}"}
                async with front.http.get(front.url + path, headers=headers) as response:
                    reports.append(await response.text())
        assert scripted.calls
    assert "internal_error" in caplog.text
    assert "ValueError" in caplog.text
    assert "test_secrets.py" in caplog.text  # where, but not the words
    assert not [report for report in reports if "canary" in report]


async def test_no_answer_holds_a_key() -> None:
    keys = keys_of({"ann": hash_of(KEY)})
    async with gateway_with(refuses, keys=keys) as (front, _):
        for sent in (
            f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}\0\r\n\r\n",
            f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization Bearer {KEY}\r\n\r\n",
            f"GET /v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {KEY}x\r\n\r\n",
            f"GET /v1/models?key={KEY} HTTP/1.1\r\nHost: a\r\n\r\n",
            f"{KEY} / HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            back = await answered(front, sent.encode())
            assert back
            assert KEY.encode() not in back, sent
        headers = {**HEADERS, "Authorization": f"Bearer {KEY}"}
        reply = await front.post(orjson.dumps(chat()), headers=headers)
        assert KEY.encode() not in reply.body
        assert KEY not in str(reply.headers)


async def test_no_token_is_in_a_log_a_metric_an_answer_or_a_count_of_refusals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with issuing() as issuer, gateway_with(refuses) as (front, _):
        front.gateway.use_sign_on(SignOnRules((trusting(issuer),)))
        tokens = {name: issuer.token(**wrong) for name, (wrong, _) in WRONG.items()}
        tokens = {**tokens, **forged(issuer), "in order": issuer.token()}
        secrets = {part for token in tokens.values() for part in token.split(".") if len(part) > 20}
        shown = []
        for name, token in tokens.items():
            headers = {"Authorization": f"Bearer {token}"}
            reply = await front.post(orjson.dumps(chat()), headers=headers)
            shown.append(f"{reply.status} {reply.headers} {reply.body!r}")
            assert reply.status in (400, 401), name
        async with front.http.get(
            front.url + "/metrics", headers={"Authorization": f"Bearer {tokens['in order']}"}
        ) as response:
            shown.append(await response.text())
        shown += [f"{record.getMessage()} {record.exc_text}" for record in caplog.records]
        shown += map(str, front.gateway.refused_entries.take(all_of_them=True))
    assert len(secrets) > 50
    assert not [part for part in secrets for text in shown if part in text]
    assert "wrong_token" in str(shown)


@pytest.mark.parametrize(
    "text",
    [
        '[gateway.keys]\nann = "canary"\n',
        '[gateway]\nallowed_origins = 5\n[gateway.keys]\nann = "canary-key"\n',
        '[[backend]]\nurl = "http://ann:canary@127.0.0.1:1"\n',
        '[[backend]]\nurl = "http://127.0.0.1:1"\nkey_env = "EMPTY"\n',
        '[[backend]]\nurl = "http://127.0.0.1:1"\nkey_env = "BROKEN"\n',
        '[[backend]]\nurl = "http://127.0.0.1:1"\nkey = "canary"\n',
    ],
)
def test_an_error_of_the_configuration_holds_no_secret(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text + ("" if "[[backend]]" in text else '[[backend]]\nurl = "http://a:1"\n'))
    with pytest.raises(StokerError) as error:
        load(path, {"EMPTY": "", "BROKEN": "canary\nkey"})
    assert "canary" not in f"{error.value} {error.value.problem!r}"


def test_a_loaded_configuration_prints_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[[backend]]\nurl = "http://127.0.0.1:1"\nkey_env = "ENGINE"\n')
    config = load(path, {"ENGINE": ENGINE_KEY})
    assert config.backends[0].backend.key == ENGINE_KEY
    assert ENGINE_KEY not in repr(config)
