"""The sections of a configuration file about who signs on: ``issuer``, ``proxy``, ``grant``."""

from __future__ import annotations

import importlib.util
import ipaddress
import re
import ssl
import unicodedata
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from stoker import paths
from stoker.access.caller import Role
from stoker.access.sign_on import issuer_keys, key_download
from stoker.access.sign_on.sign_on_rules import (
    Algorithm,
    Grant,
    Issuer,
    KeySource,
    SignOnRules,
    TrustedProxies,
)
from stoker.errors import UsageError
from stoker.gateway.limit_fields import LimitFields

#: Makes the error of one setting: its name, what is wrong, what to do.
Wrong = Callable[[str, str, str], UsageError]
_Text = Annotated[str, Meta(min_length=1)]
#: The name of a header (RFC 9110, 5.1).
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Headers that mean something else already.
_TAKEN_HEADERS = frozenset({"authorization", "x-api-key", "host", "cookie"})


class IssuerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[issuer]]``: one OpenID Connect issuer whose tokens open the gateway."""

    url: Annotated[
        _Text,
        Meta(
            description="Its address, to the letter as its tokens name it in `iss`. The gateway "
            "finds its keys by `/.well-known/openid-configuration` below it."
        ),
    ]
    audience: Annotated[
        _Text | Annotated[tuple[_Text, ...], Meta(min_length=1)],
        Meta(
            description="What a token must name in `aud` to be for this gateway; a list allows "
            "any of several."
        ),
    ]
    algorithms: Annotated[
        Annotated[tuple[Algorithm, ...], Meta(min_length=1)],
        Meta(
            description="What tokens may be signed with: of RS256, RS384, RS512, PS256, PS384, "
            "PS512, ES256, ES384, ES512, EdDSA."
        ),
    ] = ("RS256", "ES256")
    owner_claim: Annotated[
        _Text,
        Meta(
            description="The claim that names the owner. `sub` never changes hands; "
            "`preferred_username` and `email` read better, where users can't change them."
        ),
    ] = "sub"
    groups_claim: Annotated[
        _Text,
        Meta(
            description="The claim with the owner's groups or roles, for `[[grant]]`; a dot leads "
            "into an object: `realm_access.roles`."
        ),
    ] = "groups"
    prefix: Annotated[
        str,
        Meta(
            description="Put before each owner and group, such as `ci:`, so that one issuer's can "
            "never be another's, or a key's.",
            max_length=50,
        ),
    ] = ""
    leeway_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="Seconds by which the clocks of issuer and gateway may differ.",
        ),
    ] = 30.0
    jwks_url: Annotated[
        _Text | None,
        Meta(description="Where its keys are, instead of what its discovery document names."),
    ] = None
    key_file: Annotated[
        _Text | None,
        Meta(
            description="A file with its public keys, as a JWK set or PEM, for a network without "
            "the issuer. A change is read within seconds."
        ),
    ] = None
    ca_file: Annotated[
        _Text | None,
        Meta(description="Certificates (PEM) that its own is trusted by, instead of the system's."),
    ] = None
    stale_if_error_s: Annotated[
        float,
        Meta(ge=0, description="Seconds for which known keys stay in use while it is away."),
    ] = 86_400.0


class ProxySection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[proxy]``: proxies that sign users on and name them in headers."""

    addresses: Annotated[
        Annotated[tuple[str, ...], Meta(min_length=1)],
        Meta(
            description="IP addresses or networks of the proxies, such as `10.0.0.5` or "
            "`10.1.0.0/24`. From every other address the headers count for nothing."
        ),
    ]
    owner_header: Annotated[str, Meta(description="The header that names the owner.")] = (
        "X-Forwarded-User"
    )
    groups_header: Annotated[
        str, Meta(description="The header with the owner's groups, parted by commas.")
    ] = "X-Forwarded-Groups"


class GrantSection(LimitFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[grant]]``: what those who sign on may do. The first one that matches counts."""

    owner: Annotated[str, Meta(description="The owners that it is for; it may hold `*`.")] = "*"
    group: Annotated[
        str | None,
        Meta(description="A group that they must have; it may hold `*`. Left out: any or none."),
    ] = None
    deny: Annotated[bool, Meta(description="Refuse them, in spite of what they sign on with.")] = (
        False
    )
    role: Annotated[Role, Meta(description="Their [role](../teams.md#roles).")] = "user"
    models: Annotated[
        tuple[_Text, ...],
        Meta(description="The models that they may use, by name; it may hold `*`. None: all."),
    ] = ()


def rules(
    issuers: Sequence[IssuerSection],
    proxy: ProxySection | None,
    grants: Sequence[GrantSection],
    folder: Path,
    wrong: Wrong,
) -> SignOnRules:
    """What the sections mean; paths in them begin at ``folder``. Raises ``UsageError``."""
    return _SignOnReader(folder, wrong).rules(issuers, proxy, grants)


class _SignOnReader:
    def __init__(self, folder: Path, wrong: Wrong) -> None:
        self._folder = folder
        self._wrong = wrong

    def rules(
        self,
        sections: Sequence[IssuerSection],
        proxy: ProxySection | None,
        grants: Sequence[GrantSection],
    ) -> SignOnRules:
        if grants and not (sections or proxy):
            problem = "this grants something to those who sign on, and no one can"
            raise self._wrong("grant[0]", problem, "Add a section [[issuer]] or [proxy].")
        issuers: dict[str, Issuer] = {}
        for index, section in enumerate(sections):
            issuer = self._issuer(f"issuer[{index}]", section)
            if issuer.name in issuers:
                problem = "another section has the same issuer"
                raise self._wrong(f"issuer[{index}].url", problem, "Name each of them once.")
            if any(issuer.prefix == other.prefix for other in issuers.values()):
                problem = (
                    "another issuer has the same prefix, so each could name the other's owners"
                )
                fix = "Give all issuers but one a prefix, each a different one, such as 'ci:'."
                raise self._wrong(f"issuer[{index}].prefix", problem, fix)
            issuers[issuer.name] = issuer
        proxies = self._proxies(proxy) if proxy else None
        return SignOnRules(tuple(issuers.values()), proxies, tuple(map(_grant, grants)))

    def _issuer(self, at: str, section: IssuerSection) -> Issuer:
        if importlib.util.find_spec("jwt") is None or importlib.util.find_spec(_CRYPTO) is None:
            problem = "tokens need the Python package PyJWT with cryptography"
            raise self._wrong(at, problem, "Install it: pip install 'stoker[teams]'.")
        given = section.audience
        return Issuer(
            name=section.url,
            audiences=(given,) if isinstance(given, str) else given,
            keys_from=self._source(at, section),
            algorithms=section.algorithms,
            owner_claim=section.owner_claim,
            groups_claim=section.groups_claim,
            prefix=unicodedata.normalize("NFC", section.prefix),  # as owners are
            leeway_s=section.leeway_s,
        )

    def _source(self, at: str, section: IssuerSection) -> KeySource:
        if section.key_file is not None:
            if section.jwks_url is not None:
                problem = "this issuer has a key_file as well"
                raise self._wrong(f"{at}.jwks_url", problem, "Leave one of the two out.")
            return KeySource(file=self._key_file(f"{at}.key_file", section.key_file))
        name = "url" if section.jwks_url is None else "jwks_url"
        url = section.url if section.jwks_url is None else section.jwks_url
        if not key_download.is_safe_url(url):
            problem = "this is not an address from which keys can be read safely"
            fix = "Write it with https; http is for this machine alone. Offline, set key_file."
            raise self._wrong(f"{at}.{name}", problem, fix)
        ca_file = None
        if section.ca_file is not None:
            ca_file = self._ca_file(f"{at}.ca_file", section.ca_file)
        return KeySource(
            discovery_url="" if section.jwks_url else url.rstrip("/") + key_download.WELL_KNOWN,
            jwks_url=section.jwks_url or "",
            ca_file=ca_file,
            stale_if_error_s=section.stale_if_error_s,
        )

    def _key_file(self, at: str, name: str) -> Path:
        path = self._folder / paths.expanded(name)
        try:
            issuer_keys.read_file(path)
        except (OSError, ValueError) as error:
            reason = _reason(error)
            fix = "Save what the issuer has at its jwks_uri, or its public key as PEM."
            raise self._wrong(at, f"{path} gives no keys: {reason}", fix) from None
        return path

    def _ca_file(self, at: str, name: str) -> Path:
        path = self._folder / paths.expanded(name)
        try:
            key_download.trusting(path)
        except (OSError, ValueError) as error:
            is_read = isinstance(error, ssl.SSLError)
            reason = "it holds no certificates" if is_read else _reason(error)
            fix = "Give a file with the authority's certificate as PEM."
            raise self._wrong(at, f"{path} can't be used: {reason}", fix) from None
        return path

    def _proxies(self, section: ProxySection) -> TrustedProxies:
        for name in ("owner_header", "groups_header"):
            header = getattr(section, name)
            if not _HEADER.fullmatch(header) or header.lower() in _TAKEN_HEADERS:
                problem = f"{header!r} is not a header that a proxy can name a user in"
                raise self._wrong(f"proxy.{name}", problem, "Write it like X-Forwarded-User.")
        networks = tuple(map(self._network, section.addresses))
        return TrustedProxies(networks, section.owner_header, section.groups_header)

    def _network(self, text: str) -> IPv4Network | IPv6Network:
        at = "proxy.addresses"
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            fix = "Write IP addresses or networks, such as 10.0.0.5 or 10.1.0.0/24."
            raise self._wrong(at, f"{error}", fix) from None
        if network.prefixlen == 0:
            problem = f"{text} is every address, so any client could name itself anyone"
            raise self._wrong(at, problem, "List the proxies alone.")
        return network


#: What PyJWT checks signatures with.
_CRYPTO = "cryptography"


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _grant(section: GrantSection) -> Grant:
    return Grant(
        owner=section.owner,
        group=section.group,
        deny=section.deny,
        role=section.role,
        models=section.models,
        limits=section.limits(),
    )


def money_limit(sections: Sequence[GrantSection]) -> str:
    """The name of the first setting that limits money; empty where none does."""
    costs = (f"grant[{n}].{name}" for n, each in enumerate(sections) for name in each.costs)
    return next(costs, "")
