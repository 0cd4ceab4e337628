"""Checks one token: its form, its signature, its times, its issuer and its audience. Pure.

PyJWT checks the signature and the registered claims. A token is read before only to find the key
that has to check it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from stoker.access.entry_refused import EntryRefusedError
from stoker.access.sign_on.sign_on_rules import Issuer
from stoker.access.sign_on.verification_keys import VerificationKey

#: A head line of HTTP has at most 8,190 bytes here, so no longer token arrives.
_MOST_CHARACTERS = 8190
#: Keys that one token is tried with: each costs 50 to 300 us.
_MOST_TRIED = 4
#: What a head may call the token (RFC 7519, RFC 9068). Others are for other uses, such as
#: ``logout+jwt`` and ``dpop+jwt`` (RFC 8725, 3.11).
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})


class TokenHead(msgspec.Struct, frozen=True):
    """The head of a token, as its sender wrote it."""

    alg: str
    kid: str | None = None
    typ: str = ""


class _Unchecked(msgspec.Struct, frozen=True):
    iss: str


def is_signed(text: str) -> bool:
    """Whether a text has the form of a signed token: three parts (RFC 7515, 7.1)."""
    return text.count(".") == 2 and len(text) <= _MOST_CHARACTERS


def unchecked(token: str) -> tuple[TokenHead, str]:
    """A token's head and its issuer, of which nothing is checked yet.

    Raises ``EntryRefusedError`` where it can't be read.
    """
    head, payload, _ = token.split(".")
    try:
        read = msgspec.json.decode(_bytes(head), type=TokenHead)
        issuer = msgspec.json.decode(_bytes(payload), type=_Unchecked).iss
    except (msgspec.DecodeError, binascii.Error, ValueError, RecursionError):
        raise EntryRefusedError("wrong_token") from None
    if read.typ.lower() not in _TYPES:
        raise EntryRefusedError("wrong_token")
    return read, issuer


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part.encode("ascii") + b"=" * (-len(part) % 4))


def claims_of(
    token: str, algorithm: str, keys: Sequence[VerificationKey], issuer: Issuer
) -> dict[str, Any]:
    """The claims of a token that one of these keys signed, and that is for this gateway now.

    ``algorithm`` is one that the issuer is configured with, whatever the token asks for. Raises
    ``EntryRefusedError``: of a token that no key signed, no more than that is revealed.
    """
    for key in keys[:_MOST_TRIED]:
        claims = _claims(token, algorithm, key, issuer)
        if claims is not None:
            return claims
    raise EntryRefusedError("wrong_token")


def _claims(
    token: str, algorithm: str, key: VerificationKey, issuer: Issuer
) -> dict[str, Any] | None:
    """The claims; ``None`` where the key did not sign them."""
    import jwt  # noqa: PLC0415  (an extra; 40 ms)
    from jwt.exceptions import InvalidJTIError, InvalidSubjectError  # noqa: PLC0415

    try:
        return jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=issuer.audiences,
            issuer=issuer.name,
            leeway=issuer.leeway_s,
            options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
        )
    except jwt.ExpiredSignatureError:
        raise EntryRefusedError("expired_token") from None
    except jwt.ImmatureSignatureError:
        raise EntryRefusedError("early_token") from None
    except jwt.InvalidAudienceError:
        raise EntryRefusedError("wrong_audience") from None
    except (jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.InvalidAlgorithmError):
        return None
    except (jwt.MissingRequiredClaimError, InvalidSubjectError, InvalidJTIError):
        raise EntryRefusedError("wrong_claims") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise EntryRefusedError("wrong_token") from None
