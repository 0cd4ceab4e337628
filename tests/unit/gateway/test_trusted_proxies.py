"""A proxy that signs users on: believed at its address, and nowhere else."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from ipaddress import ip_network

from tests.support.oidc_issuer import issuing
from tests.unit.gateway.backends import MODEL, Front, gateway_to, running
from tests.unit.gateway.browsing import PAGES, ask, shown, sign_in
from tests.unit.gateway.test_backend_faults import fine
from tests.unit.gateway.test_sign_on import CHAT, refusals, trusting

from stoker.access.api_keys import hash_of, keys_of
from stoker.access.sign_on.sign_on_rules import Grant, Issuer, SignOnRules, TrustedProxies

HERE, ELSEWHERE = "127.0.0.0/8", "10.0.0.5"
KEY = {"x-api-key": "key-of-bob"}
ANN = {"X-Forwarded-User": "ann"}


@contextlib.asynccontextmanager
async def behind(
    address: str, *grants: Grant, issuers: tuple[Issuer, ...] = ()
) -> AsyncIterator[Front]:
    """A gateway with Bob's key that trusts a proxy at this address; the test is at 127.0.0.1."""
    keys = keys_of({"bob": hash_of("key-of-bob")})
    async with running(fine) as (backend,), gateway_to(backend.url, keys=keys) as front:
        proxies = TrustedProxies((ip_network(address),))
        front.gateway.use_sign_on(SignOnRules(issuers, proxies, grants))
        yield front


async def status(front: Front, headers: dict[str, str]) -> int:
    return (await front.post(CHAT, headers=headers)).status


async def test_a_listed_proxy_names_the_caller() -> None:
    admins = Grant(group="llm-admins", models=("nothing",))
    async with behind(HERE, admins, Grant(group="users", models=(MODEL,))) as front:
        assert await status(front, {**ANN, "X-Forwarded-Groups": "staff, users"}) == 200
        assert await status(front, {**ANN, "X-Forwarded-Groups": "llm-admins"}) == 404
        assert await status(front, ANN) == 403
        for no_one in ({}, {"X-Forwarded-User": ""}):
            assert await status(front, no_one) == 401
        assert await status(front, KEY) == 200
        assert refusals(front) == {"not_granted": 1, "no_key": 2}


async def test_from_an_address_that_is_not_listed_the_headers_count_for_nothing() -> None:
    async with behind(ELSEWHERE) as front:
        forwarded = {"X-Forwarded-For": ELSEWHERE, "X-Real-IP": ELSEWHERE, "Forwarded": "for=a"}
        for headers in (ANN, {**ANN, **forwarded}):
            reply = await front.post(CHAT, headers=headers)
            assert reply.status == 401
            assert "not one of the listed proxies" in reply.error["message"]
        assert refusals(front) == {"untrusted_proxy": 2}
        # A key counts as it does without them, and the owner stays the key's.
        assert await status(front, {**ANN, **KEY}) == 200


async def test_headers_that_name_two_users_are_refused() -> None:
    async with behind(HERE) as front:
        twice = [("X-Forwarded-User", "ann"), ("X-Forwarded-User", "root")]
        async with front.http.post(
            front.url + "/v1/chat/completions", data=CHAT, headers=twice
        ) as response:
            assert response.status == 401
        assert refusals(front) == {"wrong_headers": 1}


async def test_what_the_proxy_asked_for_itself_may_stay_in_the_request() -> None:
    async with behind(HERE) as front:
        for other in ("Basic YTpi", "Bearer opaque", "Bearer a.b.c"):
            assert await status(front, {**ANN, "Authorization": other}) == 200
        assert await status(front, {**ANN, **KEY}) == 401  # two users, each with a proof
        assert await status(front, {"X-Forwarded-User": "bob", **KEY}) == 200
        assert refusals(front) == {"two_keys": 1}


async def test_a_token_of_another_user_beside_the_proxys_is_refused() -> None:
    async with issuing() as issuer, behind(HERE, issuers=(trusting(issuer),)) as front:
        for sub, wanted in (("ann", 200), ("bob", 401)):
            bearer = {"Authorization": f"Bearer {issuer.token(sub=sub)}"}
            assert await status(front, {**ANN, **bearer}) == wanted
        expired = {"Authorization": f"Bearer {issuer.token(lasts_s=-100)}"}
        assert await status(front, {**ANN, **expired}) == 401
        assert refusals(front) == {"two_keys": 1, "expired_token": 1}


async def test_a_page_that_takes_a_proxys_place_on_this_machine_is_refused() -> None:
    """A browser here has the proxy's address, and a page of a rebound name sends any header."""
    async with behind(HERE) as front:
        page = {**ANN, "Host": "evil.example", "Origin": "http://evil.example"}
        assert await status(front, page) == 403
        assert refusals(front) == {"foreign_host": 1}


async def test_the_dashboard_is_for_the_roles_that_sign_on_gives() -> None:
    rules = SignOnRules(
        (),
        TrustedProxies((ip_network(HERE),)),
        (Grant(group="ops", role="admin"), Grant(group="staff")),
    )
    async with shown(keys=None) as front:
        front.gateway.use_sign_on(rules)
        for path in PAGES:
            for group, wanted in (("ops", 200), ("staff", 403)):
                headers = {**ANN, "X-Forwarded-Groups": group}
                assert (await ask(front, "GET", path, headers=headers)).status == wanted
        refused = await ask(front, "GET", "/ui", headers={**ANN, "X-Forwarded-Groups": "staff"})
        assert "[[grant]]" in refused.text  # a key would not count beside the proxy's word
        assert "stoker keys create" not in refused.text
        assert (await ask(front, "GET", "/ui")).headers["Location"] == "/ui/sign-in"
        assert (await ask(front, "GET", "/ui/live")).status == 401
        # There is no key to sign in with: none opens it, and none counts as "no key needed".
        entered = await sign_in(front, "any")
        assert (entered.status, entered.cookies) == (401, {})


async def test_what_is_refused_at_the_dashboard_is_counted_as_elsewhere() -> None:
    twice = [("X-Forwarded-User", "ann"), ("X-Forwarded-User", "root")]
    async with behind(HERE, Grant(group="staff", role="viewer")) as front:
        for path in PAGES:
            assert (await ask(front, "GET", path, headers=ANN)).status == 403
            assert (await ask(front, "GET", path, headers=twice)).status == 401
        assert refusals(front) == {"not_granted": len(PAGES), "wrong_headers": len(PAGES)}
    async with behind(ELSEWHERE) as front:
        for path, wanted in (("/ui", 303), ("/ui/live", 401)):
            assert (await ask(front, "GET", path, headers=ANN)).status == wanted
        assert refusals(front) == {"untrusted_proxy": 2}
