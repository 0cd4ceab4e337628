"""Tokens of a real issuer at the gateway's entry: what opens it, and what does not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from tests.support.oidc_issuer import (
    AUDIENCE,
    OidcIssuer,
    hmac_signed,
    issuing,
    packed,
    private_key,
    public_jwk,
    public_pem,
    unsigned,
)
from tests.unit.gateway.backends import MODEL, Front, Reply, gateway_to, running
from tests.unit.gateway.test_backend_faults import fine

from stoker.access.api_keys import Keys, KnownKey, hash_of, keys_of
from stoker.access.caller import Caller, CallerLimits
from stoker.access.sign_on import issuer_keys
from stoker.access.sign_on.key_download import WELL_KNOWN
from stoker.access.sign_on.sign_on_rules import Grant, Issuer, KeySource, SignOnRules
from stoker.usage_records import UsageStore
from stoker.usage_records.sqlite_database import SqliteDatabase

KEY = "key-of-bob"
EVERY = ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA")
CHAT = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": "hi"}]})


def trusting(issuer: OidcIssuer, **fields: Any) -> Issuer:
    """What the gateway is configured with."""
    fields = {"keys_from": KeySource(discovery_url=issuer.url + WELL_KNOWN), **fields}
    return Issuer(name=issuer.url, audiences=(AUDIENCE,), **fields)


@contextlib.asynccontextmanager
async def opened(
    *issuers: Issuer, grants: tuple[Grant, ...] = (), keys: Keys | None = None, **more: Any
) -> AsyncIterator[Front]:
    """A gateway before a backend, open to these issuers."""
    async with running(fine) as (backend,), gateway_to(backend.url, keys=keys, **more) as front:
        front.gateway.use_sign_on(SignOnRules(issuers, None, grants))
        yield front


async def asked(front: Front, token: str | None, **headers: str) -> Reply:
    """A chat with this token."""
    given = {} if token is None else {"Authorization": f"Bearer {token}"}
    return await front.post(CHAT, headers={**given, **headers})


def refusals(front: Front) -> dict[str, int]:
    """What the audit log would hold, by the reason."""
    taken = front.gateway.refused_entries.take(all_of_them=True)
    return {entry.reason: count for entry, count in taken.items()}


@pytest.mark.parametrize("algorithm", EVERY)
async def test_a_token_signed_by_the_issuer_opens_the_gateway(algorithm: Any) -> None:
    async with issuing(algorithm) as issuer, opened(trusting(issuer, algorithms=EVERY)) as front:
        token = issuer.token(algorithm)
        assert (await asked(front, token)).status == 200
        assert (await front.post(CHAT, headers={"x-api-key": token})).status == 200
        assert (await asked(front, None)).status == 401
        assert len(issuer.asked) == 2  # its discovery document and its keys, once


WRONG: dict[str, tuple[dict[str, Any], str | None]] = {
    "expired": ({"lasts_s": -31}, "expired_token"),
    "not yet valid": ({"nbf": 2**33}, "early_token"),
    "issued in the future": ({"iat": 2**33}, "early_token"),
    "for another service": ({"aud": "other"}, "wrong_audience"),
    "for others": ({"aud": ["other", "more"]}, "wrong_audience"),
    "for no one": ({"without": ("aud",)}, "wrong_claims"),
    "of another issuer": ({"iss": "https://evil.example"}, "wrong_token"),
    "of no issuer": ({"without": ("iss",)}, "wrong_token"),
    "of several issuers": ({"iss": ["https://evil.example"]}, "wrong_token"),
    "without an end": ({"without": ("exp",)}, "wrong_claims"),
    "without an owner": ({"without": ("sub",)}, "wrong_claims"),
    "with a number for an owner": ({"sub": 5}, "wrong_claims"),
    "with a line in its owner": ({"sub": "ann\nroot"}, "wrong_claims"),
    "with a text for an end": ({"exp": "9999999999"}, "wrong_claims"),
    "with an object for an end": ({"exp": {"a": 1}}, "wrong_token"),
    "with an endless end": ({"exp": float("inf")}, "wrong_token"),
    "with a number for groups": ({"groups": 7}, "wrong_claims"),
    "with a number for an audience": ({"aud": 5}, "wrong_audience"),
    "of an unknown key": ({"head": {"kid": "other"}}, "wrong_token"),
    "of a key whose name is a number": ({"head": {"kid": 5}}, "wrong_token"),
    "with a critical extension": ({"head": {"crit": ["exp"]}}, "wrong_token"),
    "unencoded": ({"head": {"b64": False, "crit": ["b64"]}}, "wrong_token"),
    "with a key of its own": (
        {"head": {"jwk": public_jwk(private_key(number=9), "RS256", "first")}},
        None,  # the key within is not looked at
    ),
    "with an address of keys": ({"head": {"jku": "http://127.0.0.1:1/keys"}}, None),
    "for logging out": ({"head": {"typ": "logout+jwt"}}, "wrong_token"),
    "bound to another key": ({"cnf": {"jkt": "x"}}, "wrong_claims"),
    "of another algorithm of its key": ({"head": {"alg": "RS512"}}, "wrong_token"),
}


@pytest.mark.parametrize(("wrong", "fault"), WRONG.values(), ids=WRONG)
async def test_a_token_that_is_not_in_order_opens_nothing(
    wrong: dict[str, Any], fault: str | None
) -> None:
    async with issuing() as issuer, opened(trusting(issuer)) as front:
        reply = await asked(front, issuer.token(**wrong))
        if fault is None:
            assert reply.status == 200
            assert len(issuer.asked) == 2
            return
        assert (reply.status, reply.error["code"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
        assert refusals(front) == {fault: 1}


def forged(issuer: OidcIssuer) -> dict[str, str]:
    """Tokens that no key of the issuer signed."""
    token = issuer.token()
    head, payload, signature = token.split(".")
    public = public_pem(issuer.keys["first"][1])
    jwk = orjson.dumps(issuer.jwk_set()["keys"][0])
    stranger = OidcIssuer(issuer.url, {"first": ("RS256", private_key(number=1))})
    more = packed({"iss": issuer.url, "sub": "root", "aud": AUDIENCE, "exp": 2**33})
    return {
        "alg: none": unsigned(token, alg="none", kid="first"),
        "alg: None": unsigned(token, alg="None", kid="first"),
        "alg: NONE, with a signature": f"{packed({'alg': 'NONE'})}.{payload}.{signature}",
        "no alg": unsigned(token, kid="first"),
        "HMAC with the public key": hmac_signed(token, public, kid="first"),
        "HMAC with the public key, without its end": hmac_signed(token, public.strip()),
        "HMAC with the published key": hmac_signed(token, jwk, "HS512", kid="first"),
        "HMAC with nothing": hmac_signed(token, b"", kid="first"),
        "another key of the same name": stranger.token(),
        "no signature": f"{head}.{payload}.",
        "another owner": f"{head}.{more}.{signature}",
        "signature of zeros": f"{head}.{payload}.{packed(bytes(256))}",
        "half a signature": f"{head}.{payload}.{signature[:100]}",
        "ECDSA of zeros": f"{packed({'alg': 'ES256'})}.{payload}.{packed(bytes(64))}",
        "two parts": f"{head}.{payload}",
        "four parts": f"{token}.{signature}",
        "five parts, as encrypted ones have": f"{head}.a.b.c.d",
        "dots": "..",
        "no JSON": f"{packed(b'{')}.{packed(b'{')}.{signature}",
        "no object": f"{packed([])}.{packed([])}.{signature}",
        "nested": f"{packed(b'[' * 2500)}.{packed(b'[' * 2500)}.x",
        "a long number": f"{head}.{packed(b'9' * 5000)}.{signature}",
        "not in base64": f"{head}.{payload}.{signature[:-4]}!!!!",
        "letters beyond ASCII": f"{head}.{payload}.\u00e9\u00e9\u00e9\u00e9",
        "huge": f"{head}.{packed({'iss': issuer.url, 'x': 'y' * 5500})}.{signature}",
    }


async def test_no_forged_token_opens_the_gateway() -> None:
    async with issuing() as issuer, opened(trusting(issuer)) as front:
        for name, token in forged(issuer).items():
            reply = await asked(front, token)
            assert reply.status == 401, (name, reply.body)
            assert token.encode() not in reply.body
        assert set(refusals(front)) == {"wrong_token", "wrong_key"}
        assert (await asked(front, issuer.token())).status == 200
        assert len(issuer.asked) <= 2


async def test_an_algorithm_that_is_not_configured_is_refused_even_with_the_right_key() -> None:
    async with issuing("RS256", "ES384") as issuer, opened(trusting(issuer)) as front:
        assert (await asked(front, issuer.token("RS256"))).status == 200
        assert (await asked(front, issuer.token("ES384"))).status == 401


@pytest.mark.parametrize(("ends_s", "begins_s"), [(-20, -60), (300, 300)])
async def test_clocks_may_differ_by_the_configured_time(ends_s: int, begins_s: int) -> None:
    async with issuing() as issuer:
        claims: dict[str, Any] = {"lasts_s": ends_s, "nbf": int(time.time()) + begins_s}
        for leeway_s, status in ((600.0, 200), (0.0, 401)):
            async with opened(trusting(issuer, leeway_s=leeway_s)) as front:
                assert (await asked(front, issuer.token(**claims))).status == status


async def test_a_token_ends_at_its_time_though_it_was_checked_before() -> None:
    async with issuing() as issuer, opened(trusting(issuer, leeway_s=0.0)) as front:
        sign_on = front.gateway._state.sign_on
        token = issuer.token(lasts_s=1000)
        assert (await asked(front, token)).status == 200
        (known,) = sign_on._checked.values()
        assert known.until - time.time() < 1001
        sign_on._now = lambda: known.until  # it is not remembered longer: it is checked again
        asked_before = len(sign_on._checked)
        assert (await asked(front, token)).status == 200
        assert asked_before == 1
        issuer_of = sign_on._issuers[issuer.url][1]
        issuer_of._keys = ()
        assert (await asked(front, token)).status == 503


def end_wait(front: Front, issuer: OidcIssuer) -> None:
    """The issuer may be asked again: it was last asked long ago."""
    front.gateway._state.sign_on._issuers[issuer.url][1]._asked_at -= issuer_keys.RETRY_S


async def test_a_rotated_key_is_found_at_once_and_a_removed_one_ends() -> None:
    async with issuing() as issuer, opened(trusting(issuer)) as front:
        old = issuer.token("first")
        assert (await asked(front, old)).status == 200
        issuer.add("second", "ES256")
        end_wait(front, issuer)
        assert (await asked(front, issuer.token("second"))).status == 200
        assert (await asked(front, old)).status == 200
        issuer.published.remove("first")
        end_wait(front, issuer)
        assert (await asked(front, issuer.token(head={"kid": "third"}))).status == 401
        assert (await asked(front, old)).status == 401  # though it was checked before
        assert (await asked(front, issuer.token("second"))).status == 200


async def test_a_flood_of_unknown_keys_asks_the_issuer_once() -> None:
    async with issuing() as issuer, opened(trusting(issuer)) as front:
        assert (await asked(front, issuer.token())).status == 200
        keys = front.gateway._state.sign_on._issuers[issuer.url][1]
        keys._asked_at -= issuer_keys.RETRY_S
        issuer.asked.clear()
        issuer.delay_s = 0.05
        flood = (asked(front, issuer.token(head={"kid": f"k{n}"})) for n in range(100))
        assert {reply.status for reply in await asyncio.gather(*flood)} == {401}
        assert len(issuer.asked) == 2  # its discovery document and its keys
        assert (await asked(front, issuer.token(head={"kid": "more"}))).status == 401
        assert len(issuer.asked) == 2


async def test_a_client_that_leaves_does_not_end_the_question_of_the_others() -> None:
    async with issuing() as issuer:
        issuer.delay_s = 0.05
        async with opened(trusting(issuer)) as front:
            leaving = asyncio.create_task(asked(front, issuer.token()))
            staying = asyncio.create_task(asked(front, issuer.token()))
            await asyncio.sleep(0.01)
            leaving.cancel()
            assert (await staying).status == 200


TROUBLE: dict[str, dict[str, Any]] = {
    "garbage": {"garbage": b"<html>not here</html>"},
    "another type": {"garbage": b'{"issuer":5,"jwks_uri":[]}'},
    "no keys": {"garbage": b'{"keys":[]}'},
    "endless": {"garbage": b" " * 3_000_000},
    "an error": {"status": 500},
    "a redirect": {"status": 302},
    "another issuer": {"discovery": {"issuer": "https://evil.example"}},
    "keys without TLS": {"discovery": {"jwks_uri": "http://evil.example/keys"}},
    "keys in a file": {"discovery": {"jwks_uri": "file:///etc/passwd"}},
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
async def test_with_an_issuer_in_trouble_no_token_opens_and_known_keys_stay(
    trouble: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with issuing() as issuer:
        for name, value in trouble.items():
            setattr(issuer, name, value)
        async with opened(trusting(issuer), keys=keys_of({"bob": hash_of(KEY)})) as front:
            reply = await asked(front, issuer.token())
            assert (reply.status, reply.error["code"]) == (503, "issuer_away")
            assert reply.headers["Retry-After"]
            assert (await asked(front, KEY)).status == 200
            assert f"the keys of issuer {issuer.url} can't be read" in caplog.text
            assert refusals(front) == {"issuer_away": 1}
            end_wait(front, issuer)
            for name in trouble:
                setattr(issuer, name, getattr(OidcIssuer(), name))
            assert (await asked(front, issuer.token())).status == 200
            setattr(issuer, *next(iter(trouble.items())))
            end_wait(front, issuer)
            assert (await asked(front, issuer.token(head={"kid": "new"}))).status == 401
            assert (await asked(front, issuer.token())).status == 200


async def test_keys_stay_in_use_while_the_issuer_is_away_for_the_stated_time() -> None:
    async with issuing() as issuer:
        source = KeySource(discovery_url=issuer.url + WELL_KNOWN, stale_if_error_s=100)
        async with opened(trusting(issuer, keys_from=source)) as front:
            token = issuer.token()
            assert (await asked(front, token)).status == 200
            await issuer.stop()
            keys = front.gateway._state.sign_on._issuers[issuer.url][1]
            keys._seen_at -= 99
            assert (await asked(front, token)).status == 200
            keys._seen_at -= 2
            assert (await asked(front, token)).status == 503
            await issuer.start()
            keys._asked_at -= issuer_keys.RETRY_S
            assert (await asked(front, token)).status == 200


async def test_a_slow_issuer_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with issuing() as issuer, aiohttp.ClientSession() as http:
        issuer.delay_s = 5
        keys = issuer_keys.IssuerKeys(trusting(issuer), download_s=0.05)
        await keys.refresh(http)
        assert keys.keys == ()
        assert "it did not answer within 0.05 seconds" in caplog.text


async def test_keys_come_from_a_file_where_there_is_no_issuer(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    issuer = OidcIssuer("https://sso.example/realms/team")
    issuer.add("first", "ES256")
    path.write_bytes(orjson.dumps(issuer.jwk_set()))
    async with opened(trusting(issuer, keys_from=KeySource(file=path))) as front:
        source = front.gateway._state.sign_on._issuers[issuer.url][1]
        await source.refresh(front.http)
        assert (await asked(front, issuer.token())).status == 200
        issuer.add("second", "RS256")
        path.write_bytes(public_pem(issuer.keys["second"][1]))
        await source.refresh(front.http)
        assert (await asked(front, issuer.token("second"))).status == 200
        assert (await asked(front, issuer.token("first"))).status == 401
        path.write_bytes(b"{")
        await source.refresh(front.http)
        assert (await asked(front, issuer.token("second"))).status == 200


async def test_a_file_of_keys_counts_as_soon_as_it_is_configured(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    async with issuing() as issuer, opened(trusting(issuer)) as front:
        path.write_bytes(orjson.dumps(issuer.jwk_set()))
        token = issuer.token()
        assert (await asked(front, token)).status == 200
        moved = trusting(issuer, keys_from=KeySource(file=path))
        front.gateway.use_sign_on(SignOnRules((moved,), None, ()))
        replies = await asyncio.gather(*(asked(front, token) for _ in range(3)))
        assert [reply.status for reply in replies] == [200, 200, 200]


async def test_two_issuers_name_different_owners_with_a_prefix() -> None:
    grants = (Grant(owner="ci:*", models=("other",)), Grant())
    async with (
        issuing() as people,
        issuing() as machines,
        opened(trusting(people), trusting(machines, prefix="ci:"), grants=grants) as front,
    ):
        machines.keys["first"] = ("RS256", private_key("RS256", 1))
        assert (await asked(front, people.token(sub="ci"))).status == 200
        assert (await asked(front, machines.token(sub="ann"))).status == 404
        assert (await asked(front, people.token(sub="ci:ann"))).status == 401
        stolen = machines.token(iss=people.url)
        assert (await asked(front, stolen)).status == 401


async def test_keys_and_tokens_work_side_by_side_and_never_together() -> None:
    keys = keys_of({"ann": hash_of("key-of-ann"), "bob": hash_of(KEY)})
    async with issuing() as issuer, opened(trusting(issuer), keys=keys) as front:
        token = issuer.token()
        assert (await asked(front, KEY)).status == 200
        assert (await asked(front, token)).status == 200
        assert (await asked(front, token, **{"x-api-key": token})).status == 200
        again = issuer.token(jti="again")
        assert (await asked(front, token, **{"x-api-key": again})).status == 200
        for other in (KEY, "key-of-ann", issuer.token(sub="bob"), "nothing"):
            reply = await asked(front, token, **{"x-api-key": other})
            assert reply.status == 401, other
        assert refusals(front) == {"two_keys": 4}


async def test_a_revoked_key_stays_revoked_though_it_looks_like_a_token() -> None:
    async with issuing() as issuer:
        token = issuer.token()
        known = KnownKey(bytes.fromhex(hash_of(token)), Caller("ann", "a1"), revoked=True)
        async with opened(trusting(issuer), keys=Keys({}, [known])) as front:
            assert (await asked(front, token)).status == 401
            assert refusals(front) == {"revoked_key": 1}


async def test_a_grant_gives_role_models_and_limits() -> None:
    limits = CallerLimits(requests_per_minute=2)
    grants = (
        Grant(owner="mallory", deny=True),
        Grant(group="viewers", role="viewer", models=("none-*",)),
        Grant(group="users", models=(MODEL,), limits=limits),
    )
    async with issuing() as issuer, opened(trusting(issuer), grants=grants) as front:
        first = await asked(front, issuer.token(groups=["users"]))
        assert first.status == 200
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        # Another token of the same owner draws on the same limit.
        assert (await asked(front, issuer.token(groups=["users"], jti="b"))).status == 200
        assert (await asked(front, issuer.token(groups=["users"], jti="c"))).status == 429
        assert (await asked(front, issuer.token(groups=["users"], sub="bob"))).status == 200
        assert (await asked(front, issuer.token(groups=["viewers"]))).status == 404
        denied = await asked(front, issuer.token(sub="mallory", groups=["users"]))
        assert (denied.status, denied.error["code"]) == (403, "not_granted")
        assert (await asked(front, issuer.token())).status == 403
        assert refusals(front) == {"not_granted": 2}
        for groups, status in ((["viewers"], 200), (["users"], 403)):
            bearer = {"Authorization": f"Bearer {issuer.token(groups=groups)}"}
            async with front.http.get(front.url + "/metrics", headers=bearer) as response:
                assert response.status == status


async def test_changed_rules_count_for_tokens_that_were_checked_before() -> None:
    async with issuing() as issuer, opened(trusting(issuer)) as front:
        token = issuer.token()
        assert (await asked(front, token)).status == 200
        rules = SignOnRules((trusting(issuer),), None, (Grant(owner="ann", deny=True), Grant()))
        front.gateway.use_sign_on(rules)
        assert (await asked(front, token)).status == 403
        assert (await asked(front, issuer.token(sub="bob"))).status == 200
        assert len(issuer.asked) == 2  # the issuer is the same, and its keys stay known


async def test_usage_names_the_owner_and_never_the_token(tmp_path: Path) -> None:
    store = UsageStore(SqliteDatabase(tmp_path / "usage.db"))
    async with issuing() as issuer, opened(trusting(issuer), usage=store) as front:
        token = issuer.token(sub="Zo\u00eb \u5c0f\u660e")
        assert (await asked(front, token)).status == 200
    (row,) = store.rows()
    assert (row.owner, row.key_id) == ("Zo\u00eb \u5c0f\u660e", "token")
    assert not [part for part in token.split(".") if part in str(row)]
