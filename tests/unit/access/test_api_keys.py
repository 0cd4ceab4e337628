"""The look-up of a key: whom it names, and why it opens nothing."""

from __future__ import annotations

import hmac
from unittest import mock

import pytest

from stoker.access.api_keys import Keys, KnownKey, hash_of, keys_of
from stoker.access.caller import ANYONE, Caller

ANN = Caller("ann", "a1")
NOW = 1000.0


def known(key: str, expires_at: float | None = None, *, revoked: bool = False) -> KnownKey:
    return KnownKey(bytes.fromhex(hash_of(key)), ANN, expires_at, revoked)


def keys(*stored: KnownKey, now: float = NOW) -> Keys:
    return Keys({}, stored, lambda: now)


def test_without_keys_all_may_ask() -> None:
    assert not Keys({}).required
    assert Keys({}).caller(None) == ANYONE


@pytest.mark.parametrize("key", [None, "", "x", "A-KEY", "a-ke", "a-key!", "\ud800", "ключ"])
def test_other_texts_than_the_key_name_no_one(key: str | None) -> None:
    assert keys(known("a-key")).caller_of(key) is None


@pytest.mark.parametrize("key", [None, "", " ", "\t"])
def test_no_text_is_a_key_even_where_its_hash_is_known(key: str | None) -> None:
    opened = keys(known(""))
    assert opened.caller_of(key) is None
    assert opened.caller(f"Bearer {key or ''}") is None


def test_a_key_ends_at_its_time_while_the_gateway_runs() -> None:
    assert keys(known("k", expires_at=NOW + 1)).caller_of("k") == ANN
    ended = keys(known("k", expires_at=NOW))
    assert ended.caller_of("k") is None
    assert ended.fault("k") == ("expired_key", "a1")


def test_the_gateway_stays_shut_when_its_last_key_was_revoked() -> None:
    shut = keys(known("k", revoked=True))
    assert shut.required
    assert shut.caller_of("k") is None
    assert shut.caller_of(None) is None
    assert shut.fault("k") == ("revoked_key", "a1")


def test_the_cause_of_a_refusal_names_no_one_for_a_key_that_is_not_known() -> None:
    assert keys(known("k")).fault(None) == ("no_key", "")
    assert keys(known("k")).fault("x") == ("wrong_key", "")


def test_keys_of_two_sources_all_open() -> None:
    both = keys(known("stored")).and_also(keys_of({"bob": hash_of("in-a-file")}))
    found = [both.caller_of(key) for key in ("stored", "in-a-file", "x")]
    assert [caller and caller.owner for caller in found] == ["ann", "bob", None]


@pytest.mark.parametrize("owners", [1, 1000])
def test_one_comparison_in_constant_time_finds_a_key_however_many_there_are(owners: int) -> None:
    many = keys_of({f"owner{n}": hash_of(f"key{n}") for n in range(owners)})
    with mock.patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
        assert many.caller_of(f"key{owners - 1}") is not None
        assert compare.call_count == 1
