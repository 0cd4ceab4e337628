"""Public keys as issuers publish them: which are used, and for which signatures."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.oidc_issuer import private_key, public_jwk, public_pem

from stoker.access.sign_on import verification_keys
from stoker.access.sign_on.verification_keys import matching, read

RSA = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def jwk(algorithm: str = "RS256", kid: Any = "k", **fields: Any) -> dict[str, Any]:
    return public_jwk(private_key(algorithm), algorithm, kid, **fields)


def jwk_set(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_key_checks_the_algorithm_that_it_is_published_for(algorithm: str) -> None:
    (key,) = read(jwk_set(jwk(algorithm)))
    assert (key.kid, set(key.algorithms)) == ("k", {algorithm})


def test_a_key_without_an_algorithm_checks_those_of_its_kind_alone() -> None:
    rsa, curve = read(jwk_set(jwk(alg=None), jwk("ES384", alg=None)))
    assert set(rsa.algorithms) == RSA
    assert set(curve.algorithms) == {"ES384"}


@pytest.mark.parametrize(
    ("unusable", "why"),
    [
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"}, "secret"),
        (jwk(use="enc"), "for encryption"),
        (jwk(alg="RSA-OAEP"), "unknown kind"),
        (jwk(key_ops=["encrypt"]), "for encryption"),
        (jwk(d="AQAB"), "secret"),
        (jwk(alg="HS256"), "unknown kind"),
        (jwk(alg="none"), "unknown kind"),
        (jwk("ES256", alg="ES384"), "unknown kind"),
        (jwk("ES256", crv="secp256k1"), "unknown kind"),
        (jwk("ES256", x="AAAA"), "damaged"),
        (jwk("ES256", x=5), "damaged"),
        (jwk(n="%%%"), "damaged"),
        (jwk(kty=["RSA"]), "damaged"),
        (jwk(kty="P-256"), "unknown kind"),
        (jwk(alg=["RS256"]), "damaged"),
        (jwk(kid=7), "damaged"),
        (public_jwk(private_key("RS256", bits=1024), "RS256", "k"), "fewer than 2048 bits"),
    ],
)
def test_a_key_that_may_not_check_signatures_is_left_out(
    unusable: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        read(jwk_set(unusable))
    (left,) = read(jwk_set(unusable, jwk("ES256", "good")))
    assert left.kid == "good"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b'{"keys":5}', b'{"keys":[5]}', b'{"keys":[]}'),
        *(b"[" * 100_000, b" " * 600_000, b"<html>no</html>", b"\xff\xfe"),
        jwk_set(*[jwk("ES256")] * 101),
    ],
)
def test_what_is_no_set_of_keys_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w{2,} \w"):
        read(content)


def test_pem_holds_any_number_of_keys_without_names() -> None:
    both = public_pem(private_key("RS256")) + b"\n" + public_pem(private_key("ES256"))
    assert [(key.kid, len(key.algorithms)) for key in read(both)] == [(None, 6), (None, 1)]


def test_a_private_key_in_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="private key"):
        read(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


def test_a_token_finds_the_key_of_its_name_and_those_without() -> None:
    keys = (*read(jwk_set(jwk(kid="a"), jwk(kid="b"))), *read(public_pem(private_key("RS256"))))
    assert [key.kid for key in matching(keys, "RS256", "b")] == ["b", None]
    assert [key.kid for key in matching(keys, "RS256", None)] == ["a", "b", None]
    assert matching(keys, "ES256", None) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["RSA", "EC"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_FIELDS = st.sampled_from(["kty", "alg", "use", "crv", "x", "y", "n", "e", "kid", "key_ops", "d"])


@given(
    changed=st.dictionaries(_FIELDS, _JSON, max_size=3),
    algorithm=st.sampled_from(["RS256", "ES256"]),
)
def test_no_set_of_keys_fails_in_another_way(changed: dict[str, Any], algorithm: str) -> None:
    try:
        found = read(json.dumps({"keys": [{**jwk(algorithm), **changed}]}).encode())
    except ValueError:
        return
    assert all(key.algorithms <= RSA | {"ES256"} for key in found)


def test_the_largest_document_is_bounded() -> None:
    assert verification_keys.MOST_BYTES < 2**20
