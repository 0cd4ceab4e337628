"""What the claims of a token whose signature was checked mean. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stoker.access.entry_refused import EntryRefusedError
from stoker.access.sign_on.sign_on_rules import (
    Issuer,
    SignedOn,
    signed_on,
)

#: Claims of texts in which blanks part the entries (RFC 8693, 4.2; ``scp`` is Microsoft's).
_BLANK_SEPARATED = frozenset({"scope", "scp"})
#: A token with one of these is no bearer token: it reports an event (RFC 8417), such as a logout,
#: or it counts only with a proof of another key (RFC 7800), which is not checked here.
_NOT_BEARER = frozenset({"events", "cnf"})
#: Times are whole numbers of any size; this is the year 33658.
_LATEST = 1e12


def owner_in(claims: Mapping[str, Any], issuer: Issuer) -> SignedOn:
    """Whom the claims name. Raises ``EntryRefusedError`` where they name no one."""
    if not _NOT_BEARER.isdisjoint(claims) or not _is_verified(claims, issuer):
        raise EntryRefusedError("wrong_claims")
    groups = _claim(claims, issuer.groups_claim)
    if isinstance(groups, str):
        is_list = issuer.groups_claim in _BLANK_SEPARATED
        groups = groups.split() if is_list else [groups]
    if not isinstance(groups, list | None):
        raise EntryRefusedError("wrong_claims")
    who = signed_on(_claim(claims, issuer.owner_claim), groups or (), issuer.prefix)
    if who is None:
        raise EntryRefusedError("wrong_claims")
    return who


def until(claims: Mapping[str, Any]) -> float:
    """When the token ends, in seconds since the epoch.

    Raises ``EntryRefusedError`` where a time is not a number: the library accepts strings too.
    """
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise EntryRefusedError("wrong_claims")
    return float(min(claims["exp"], _LATEST))


def _is_verified(claims: Mapping[str, Any], issuer: Issuer) -> bool:
    """An address counts unless the issuer reports that it did not check whose it is."""
    return issuer.owner_claim != "email" or claims.get("email_verified", True) is True


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, which may be like ``https://a.example/groups``; else along its dots."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
