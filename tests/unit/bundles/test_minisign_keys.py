"""Key pairs and signatures in minisign's format."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.small_bundles import KEY, OTHER_KEY

from stoker.bundles import minisign_keys
from stoker.errors import StokerError, UsageError


def pair(folder: Path) -> tuple[Path, Path]:
    secret, public = folder / "site.key", folder / "site.pub"
    minisign_keys.make_pair(secret, public)
    return secret, public


def test_a_pair_signs_and_verifies(tmp_path: Path) -> None:
    secret, public = pair(tmp_path)
    signed = minisign_keys.signature(b"content", minisign_keys.read_secret(secret), "a comment")
    key = minisign_keys.read_public(public)
    assert minisign_keys.verify(b"content", signed, key) == "a comment"
    with pytest.raises(StokerError, match="signature of the bundle is wrong"):
        minisign_keys.verify(b"Content", signed, key)


def test_the_secret_key_is_its_owners_alone(tmp_path: Path) -> None:
    secret, _ = pair(tmp_path)
    assert secret.stat().st_mode & 0o777 == 0o600
    key = minisign_keys.read_secret(secret)
    assert repr(key.seed) not in repr(key)


@pytest.mark.parametrize("name", ["site.key", "site.pub"])
def test_a_key_is_never_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        pair(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_the_comment_is_signed_too() -> None:
    signed = minisign_keys.signature(b"content", KEY, "made on Monday")
    forged = signed.replace(b"Monday", b"Friday")
    with pytest.raises(StokerError, match="wrong"):
        minisign_keys.verify(b"content", forged, KEY.public)


def test_another_key_is_named() -> None:
    signed = minisign_keys.signature(b"content", OTHER_KEY, "")
    with pytest.raises(StokerError) as refused:
        minisign_keys.verify(b"content", signed, KEY.public)
    assert OTHER_KEY.public.shown_id in refused.value.why
    assert KEY.public.shown_id in refused.value.why


@given(junk=st.binary(max_size=200))
def test_no_junk_is_a_signature(junk: bytes) -> None:
    with pytest.raises(StokerError):
        minisign_keys.verify(b"content", junk, KEY.public)


def _with_password(text: bytes) -> bytes:
    comment, encoded, _ = text.split(b"\n")
    raw = bytearray(base64.b64decode(encoded))
    raw[2:4] = b"Sc"
    return comment + b"\n" + base64.b64encode(raw) + b"\n"


def _damaged(text: bytes) -> bytes:
    comment, encoded, _ = text.split(b"\n")
    raw = bytearray(base64.b64decode(encoded))
    raw[80] ^= 1
    return comment + b"\n" + base64.b64encode(raw) + b"\n"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_with_password, "password"),
        (_damaged, "checksum"),
        (lambda text: text[:60], "no secret key"),
        (lambda _: b"\xff\xfe", "not a text file"),
        (lambda _: b"", "no secret key"),
    ],
)
def test_a_secret_key_that_cannot_be_used_is_refused(
    change: object, reason: str, tmp_path: Path
) -> None:
    secret, _ = pair(tmp_path)
    secret.write_bytes(change(secret.read_bytes()))  # type: ignore[operator]
    with pytest.raises(UsageError) as refused:
        minisign_keys.read_secret(secret)
    assert reason in refused.value.why


def test_the_keys_are_not_mixed_up(tmp_path: Path) -> None:
    secret, public = pair(tmp_path)
    with pytest.raises(UsageError) as refused:
        minisign_keys.read_public(secret)
    assert "secret key" in refused.value.why
    with pytest.raises(UsageError):
        minisign_keys.read_secret(public)
    with pytest.raises(UsageError, match="can't be used"):
        minisign_keys.read_public(tmp_path / "missing.pub")
