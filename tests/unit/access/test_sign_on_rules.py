"""What claims and headers mean, and what grants open: values in, values out."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from stoker.access.caller import Caller, CallerLimits
from stoker.access.entry_refused import EntryRefusedError
from stoker.access.sign_on.proxy_headers import ProxyHeaders
from stoker.access.sign_on.sign_on_rules import (
    Grant,
    Issuer,
    KeySource,
    Proof,
    SignedOn,
    SignOnRules,
    TrustedProxies,
)
from stoker.access.sign_on.token_claims import owner_in, until

LIMITS = CallerLimits(tokens_per_day=1000)
ANN = SignedOn("ann", ("users", "llm-admins"))


def issuer(**fields: Any) -> Issuer:
    return Issuer("https://a.example", ("stoker",), KeySource(), **fields)


def fault_of(claims: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(EntryRefusedError) as refused:
        owner_in(claims, issuer(**fields))
    return refused.value.fault


def test_without_grants_all_who_sign_on_may_use_every_model() -> None:
    assert SignOnRules().caller(ANN, "token") == Caller("ann", "token", limits_id="sign-on")


def test_the_first_grant_that_matches_counts() -> None:
    admins = Grant(group="*-admins", role="admin")
    users = Grant(group="users", models=("qwen*",), limits=LIMITS)
    caller = SignOnRules(grants=(users, admins)).caller(ANN, "token")
    assert (caller.role, caller.models, caller.limits) == ("user", ("qwen*",), LIMITS)
    assert SignOnRules(grants=(admins, users)).caller(ANN, "token").role == "admin"


@pytest.mark.parametrize(
    ("who", "prefix", "is_refused"),
    [
        (SignedOn("ci:ann"), "", True),
        (SignedOn("ann", ("users", "ci:admins")), "", True),
        (SignedOn("ci:ann"), "ci:", False),
        (SignedOn("ci:dev:ann"), "ci:", True),
        (SignedOn("ci:dev:ann", ("ci:dev:users",)), "ci:dev:", False),
        (SignedOn("ann:ci:", ("users:ci:",)), "", False),
    ],
)
def test_a_name_with_a_prefix_is_for_its_issuer_alone_to_give(
    who: SignedOn, prefix: str, is_refused: bool
) -> None:
    rules = SignOnRules((issuer(), issuer(prefix="ci:"), issuer(prefix="ci:dev:")))
    proofs: tuple[tuple[Proof, str], ...] = (("token", "wrong_claims"), ("proxy", "wrong_headers"))
    for proof, fault in proofs:
        if not is_refused:
            assert rules.caller(who, proof, prefix).owner == who.owner
            continue
        with pytest.raises(EntryRefusedError) as refused:
            rules.caller(who, proof, prefix)
        assert refused.value.fault == fault


@pytest.mark.parametrize(
    "grants",
    [
        (Grant(group="others"),),
        (Grant(owner="Ann"),),
        (Grant(owner="ann", deny=True), Grant()),
        (Grant(owner="bob", group="users"),),
    ],
)
def test_an_owner_to_whom_nothing_is_granted_is_refused(grants: tuple[Grant, ...]) -> None:
    with pytest.raises(EntryRefusedError) as refused:
        SignOnRules(grants=grants).caller(ANN, "token")
    assert refused.value.fault == "not_granted"


def test_limits_of_an_owner_are_the_same_whichever_way_it_signed_on() -> None:
    rules = SignOnRules(grants=(Grant(limits=LIMITS),))
    token, proxy = rules.caller(ANN, "token"), rules.caller(ANN, "proxy")
    assert token.key_id != proxy.key_id
    assert token.limits_id == proxy.limits_id


@pytest.mark.parametrize(
    ("claims", "fields", "owner"),
    [
        ({"sub": "ann"}, {}, "ann"),
        ({"sub": "7", "email": "a@b.example"}, {"owner_claim": "email"}, "a@b.example"),
        ({"sub": "a", "act": {"sub": "ci"}}, {"owner_claim": "act.sub"}, "ci"),
        ({"https://x.example/name": "ann"}, {"owner_claim": "https://x.example/name"}, "ann"),
        ({"sub": "ann"}, {"prefix": "ci:"}, "ci:ann"),
        ({"sub": " Zoe\u0308 "}, {}, "Zo\u00eb"),
        ({"sub": "\u5c0f\u660e"}, {}, "\u5c0f\u660e"),
    ],
)
def test_the_configured_claim_names_the_owner(
    claims: dict[str, Any], fields: dict[str, Any], owner: str
) -> None:
    assert owner_in(claims, issuer(**fields)).owner == owner


@pytest.mark.parametrize(
    ("claim", "value", "groups"),
    [
        ("groups", ["/team", "LLM Users"], ("/team", "LLM Users")),
        ("groups", "LLM Users", ("LLM Users",)),
        ("groups", [], ()),
        ("groups", None, ()),
        ("scope", "openid models:use", ("openid", "models:use")),
        ("a.b", ["x"], ("x",)),
    ],
)
def test_groups_are_a_list_or_a_text(claim: str, value: Any, groups: tuple[str, ...]) -> None:
    assert owner_in({"sub": "ann", claim: value}, issuer(groups_claim=claim)).groups == groups


@pytest.mark.parametrize(
    "owner",
    [
        *(None, 5, True, [], ["ann"], {"name": "ann"}, "", "  ", "x" * 101),
        *("a\nb", "a\x00", "\u202eann", "\ud800", "\u2028"),
    ],
)
def test_an_owner_that_is_no_name_is_refused(owner: Any) -> None:
    assert fault_of({"sub": owner}) == "wrong_claims"


@pytest.mark.parametrize("groups", [5, {"a": 1}, [5], [["a"]], [None], True])
def test_groups_of_another_type_are_refused_not_dropped(groups: Any) -> None:
    assert fault_of({"sub": "ann", "groups": groups}) == "wrong_claims"


@pytest.mark.parametrize("value", [False, "false", None, 0])
def test_an_address_that_the_issuer_did_not_check_names_no_one(value: Any) -> None:
    claims = {"email": "a@b.example", "email_verified": value}
    assert fault_of(claims, owner_claim="email") == "wrong_claims"


@pytest.mark.parametrize("claim", ["cnf", "events"])
def test_a_token_that_is_no_bearer_token_is_refused(claim: str) -> None:
    assert fault_of({"sub": "ann", claim: {}}) == "wrong_claims"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["9999999999", True, None, [1], {}])
def test_times_are_numbers(name: str, value: Any) -> None:
    with pytest.raises(EntryRefusedError):
        until({"exp": 1, name: value})


def test_a_time_of_any_length_is_a_number() -> None:
    assert until({"exp": 10**400}) == 1e12


PROXIES = TrustedProxies((ip_network("10.0.0.5"), ip_network("fd00::/8")))


def named(address: str | None, *headers: tuple[str, str]) -> SignedOn | None:
    sent = CIMultiDictProxy(CIMultiDict(headers))
    return ProxyHeaders(PROXIES).owner_in(sent, address)


@pytest.mark.parametrize("address", ["10.0.0.5", "::ffff:10.0.0.5", "fd00::1", "fd12:3::9%eth0"])
def test_a_listed_proxy_names_the_owner_and_its_groups(address: str) -> None:
    headers = (("x-forwarded-user", "ann"), ("X-Forwarded-Groups", "a, b,,"))
    assert named(address, *headers) == SignedOn("ann", ("a", "b"))


@pytest.mark.parametrize(
    "address",
    [None, "", "10.0.0.6", "::1", "127.0.0.1", "10.0.0.5, 10.0.0.6", "10.0.0.05", "unix:"],
)
def test_from_another_address_the_header_names_no_one(address: str | None) -> None:
    assert named(address, ("X-Forwarded-User", "ann")) is None


def test_a_proxy_may_name_no_one() -> None:
    assert named("10.0.0.5", ("X-Forwarded-Groups", "admins")) is None
    assert named("10.0.0.5", ("X-Forwarded-User", "")) is None


@pytest.mark.parametrize(
    "headers",
    [
        (("X-Forwarded-User", "ann"), ("X-Forwarded-User", "admin")),
        (("X-Forwarded-User", ""), ("X-Forwarded-User", "admin")),
        (("X-Forwarded-User", "ann"), ("X-Forwarded-Groups", "a"), ("X-Forwarded-Groups", "b")),
        (("X-Forwarded-User", "a\udcff"),),
        (("X-Forwarded-User", "x" * 200),),
        (("X-Forwarded-User", "a\tb"),),
    ],
)
def test_headers_that_a_client_may_have_added_to_are_refused(
    headers: tuple[tuple[str, str], ...],
) -> None:
    with pytest.raises(EntryRefusedError) as refused:
        named("10.0.0.5", *headers)
    assert refused.value.fault == "wrong_headers"
