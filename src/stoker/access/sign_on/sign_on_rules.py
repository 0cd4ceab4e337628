"""Who is signed on and what that opens, as configured. Pure: values without I/O."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, get_args

from stoker.access.caller import NO_LIMITS, Caller, CallerLimits, Role, matches
from stoker.access.entry_refused import EntryRefusedError

#: What a token may be signed with: signatures that a public key checks (RFC 7518, RFC 8037). Never
#: ``none``, and never a HMAC, for which the public key itself would be the secret.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
#: What names the proof of a caller where a key's id would stand.
Proof = Literal["token", "proxy"]
#: Limits of an owner are counted together, whichever way it signed on.
_LIMITS_ID = "sign-on"
#: As long as the names of keys' owners.
_MOST_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the public keys of an issuer are."""

    #: Its discovery document; or its keys (a JWK set); or a file with them. One of the three.
    discovery_url: str = ""
    jwks_url: str = ""
    file: Path | None = None
    #: Certificates to trust in place of the system's.
    ca_file: Path | None = None
    #: How long keys stay in use while the issuer can't be asked.
    stale_if_error_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer of tokens, and how its tokens name their owner."""

    #: What a token's ``iss`` must be, to the letter.
    name: str
    #: One of these must be in a token's ``aud``.
    audiences: tuple[str, ...]
    keys_from: KeySource
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    #: Names of claims; a dot leads into an object: ``realm_access.roles``.
    owner_claim: str = "sub"
    groups_claim: str = "groups"
    #: Put before owners and groups, to keep those of two issuers apart.
    prefix: str = ""
    #: How far the clocks of issuer and gateway may be apart.
    leeway_s: float = 30.0


@dataclass(frozen=True, slots=True)
class SignedOn:
    """Who signed on."""

    owner: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What some of those who signed on may do."""

    #: Patterns, which may hold ``*``.
    owner: str = "*"
    #: ``None`` is for owners with any groups, and with none.
    group: str | None = None
    deny: bool = False
    role: Role = "user"
    models: tuple[str, ...] = ()
    limits: CallerLimits = NO_LIMITS

    def applies(self, who: SignedOn) -> bool:
        """Whether it is about this owner."""
        if not matches(who.owner, self.owner):
            return False
        return self.group is None or any(matches(group, self.group) for group in who.groups)


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Proxies that sign users on by themselves, and the headers in which they name them."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    owner_header: str = "X-Forwarded-User"
    groups_header: str = "X-Forwarded-Groups"


@dataclass(frozen=True, slots=True)
class SignOnRules:
    """All of it. Without issuers and proxies, no one can sign on."""

    issuers: tuple[Issuer, ...] = ()
    proxies: TrustedProxies | None = None
    grants: tuple[Grant, ...] = ()

    @property
    def required(self) -> bool:
        """Whether a request needs a proof of who sends it."""
        return bool(self.issuers) or self.proxies is not None

    def caller(self, who: SignedOn, proof: Proof, prefix: str = "") -> Caller:
        """What the first grant that applies opens; everything, for a user, where there is none.

        ``prefix`` is that of the issuer. Raises ``EntryRefusedError`` where grants exist and none
        applies, or the first denies, and for a name that is for another issuer to give.
        """
        if any(self._is_of_another(name, prefix) for name in (who.owner, *who.groups)):
            raise EntryRefusedError("wrong_claims" if proof == "token" else "wrong_headers")
        grants = self.grants or (Grant(),)
        grant = next((grant for grant in grants if grant.applies(who)), None)
        if grant is None or grant.deny:
            raise EntryRefusedError("not_granted")
        return Caller(who.owner, proof, grant.role, grant.models, grant.limits, _LIMITS_ID)

    def _is_of_another(self, name: str, prefix: str) -> bool:
        """Whether a name begins with an issuer's longer prefix: ``ci:ann`` is of ``ci:`` alone."""
        others = (issuer.prefix for issuer in self.issuers if len(issuer.prefix) > len(prefix))
        return name.startswith(tuple(others))


NO_SIGN_ON = SignOnRules()


def is_signed_on(caller: Caller) -> bool:
    """Whether a token or a proxy proved the caller: its role comes from a grant, not from a key."""
    return caller.limits_id == _LIMITS_ID and caller.key_id in get_args(Proof)


def signed_on(owner: object, groups: Iterable[object], prefix: str = "") -> SignedOn | None:
    """An owner in one spelling; ``None`` where a name can't be shown in one line."""
    if not isinstance(owner, str):
        return None
    name = unicodedata.normalize("NFC", owner.strip())
    # What is checked is what is kept: no character may join with the prefix to another one.
    whole = unicodedata.normalize("NFC", prefix + name)
    if not name or len(whole) > _MOST_CHARACTERS or not whole.isprintable():
        return None
    held: list[str] = []
    for group in groups:
        if not isinstance(group, str):
            return None
        held.append(prefix + group)
    return SignedOn(whole, tuple(held))
