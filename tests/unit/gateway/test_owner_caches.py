"""What one owner's requests have left in an engine's cache is out of another owner's reach."""

from __future__ import annotations

from typing import Any

import orjson
from tests.unit.gateway.backends import MODEL, Call, answer, gateway_to, running

from stoker.access.api_keys import hash_of, keys_of
from stoker.engines import lookup
from stoker.gateway.prompt.owner_caches import OwnerCaches

KEYS = keys_of({name: hash_of(name) for name in ("ann", "bob")})
ASKED = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Hello! " * 400}],
    "cache_salt": "bob's",
}


class CachingServer:
    """Answers, and reports the prompt as cached where one with the same salt was read before."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []

    async def __call__(self, call: Call) -> None:
        salts = [body.get("cache_salt") for body in self.bodies]
        cached = 1000 if call.body.get("cache_salt") in salts else 0
        self.bodies.append(call.body)
        usage = {
            "prompt_tokens": 1000,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await call.send(answer(orjson.dumps({"choices": [choice], "usage": usage})))


async def asked_by(
    names: str, engine: str, *, apart: bool
) -> tuple[list[tuple[int, str, bytes]], CachingServer]:
    """Each name's answer in turn: its status, the record of the fit, and the body."""
    server, answers = CachingServer(), []
    async with (
        running(server) as (backend,),
        gateway_to(backend.url, engine=engine, keys=KEYS) as it,
    ):
        it.gateway.use_caches_per_owner(apart)
        for name in names.split():
            headers = {"Authorization": f"Bearer {name}"}
            async with it.http.post(
                f"{it.url}/v1/chat/completions", json=ASKED, headers=headers
            ) as got:
                record = got.headers.get("x-stoker-fit", "")
                answers.append((got.status, record, await got.read()))
    return answers, server


async def test_two_owners_have_caches_of_their_own_where_that_is_wanted() -> None:
    answers, server = await asked_by("ann ann bob", "vllm", apart=True)
    first, second, others = (body["cache_salt"] for body in server.bodies)
    assert first == second != others
    cached = [b'"cached_tokens":1000' in body for _, _, body in answers]
    assert cached == [False, True, False]


async def test_the_record_of_a_fit_does_not_show_an_owner_what_another_one_has_sent() -> None:
    answers, _ = await asked_by("ann ann bob", "vllm", apart=True)
    first, second, others = (record for _, record, _ in answers)
    assert first == others != second
    assert "cached=" in second


async def test_owners_share_a_cache_unless_caches_per_owner_is_set() -> None:
    answers, server = await asked_by("ann bob", "vllm", apart=False)
    assert [body["cache_salt"] for body in server.bodies] == [ASKED["cache_salt"]] * 2
    assert "cached=" in answers[1][1]


async def test_a_client_chooses_no_salt_of_its_own() -> None:
    _, server = await asked_by("ann", "vllm", apart=True)
    (body,) = server.bodies
    assert body["cache_salt"] != ASKED["cache_salt"]


async def test_a_server_with_one_cache_for_all_gets_nothing_and_the_client_reads_why() -> None:
    answers, server = await asked_by("ann", "llama.cpp", apart=True)
    ((status, _, body),) = answers
    assert status == 503
    assert b"caches_per_owner" in body
    assert not server.bodies


def test_salts_of_two_processes_differ() -> None:
    engine = lookup("vllm")
    one, other = OwnerCaches(), OwnerCaches()
    one.enabled = other.enabled = True
    assert one.salt("ann", engine) == one.salt("ann", engine) != other.salt("ann", engine)
