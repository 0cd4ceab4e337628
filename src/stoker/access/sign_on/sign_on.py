"""Sign-on of one gateway: what a token or a proxy's headers prove, while rules and keys change."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDictProxy

from stoker.access.caller import Caller
from stoker.access.entry_refused import EntryRefusedError, SignOnFault
from stoker.access.sign_on import token_check, token_claims, verification_keys
from stoker.access.sign_on.issuer_keys import IssuerKeys
from stoker.access.sign_on.proxy_headers import ProxyHeaders
from stoker.access.sign_on.sign_on_rules import (
    NO_SIGN_ON,
    Issuer,
    SignOnRules,
)
from stoker.access.sign_on.verification_keys import VerificationKey
from stoker.recent_values import RecentValues

#: Tokens that were checked and are remembered until they end: 1 KB each. Every user has one or two.
_TOKENS_KEPT = 4096
#: How often it is looked whether keys are to be read again.
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class _Checked:
    """What a token proved, by the keys that its issuer had: by others it is checked again."""

    caller: Caller
    until: float
    issuer: IssuerKeys
    keys: tuple[VerificationKey, ...]


class SignOn:
    """Names the callers that sign on. Its rules may be replaced while it runs."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._http: aiohttp.ClientSession | None = None
        self._issuers: Mapping[str, tuple[Issuer, IssuerKeys]] = {}
        self._rules = NO_SIGN_ON
        self._proxies: ProxyHeaders | None = None
        self._checked: RecentValues[bytes, _Checked] = RecentValues(_TOKENS_KEPT)

    @property
    def required(self) -> bool:
        """Whether a request needs a proof of who sends it."""
        return self._rules.required

    @property
    def reads_tokens(self) -> bool:
        """Whether tokens of some issuer count."""
        return bool(self._issuers)

    def use(self, rules: SignOnRules) -> None:
        """Go by these rules from now on. The keys of an issuer that stays as it is stay known."""
        if rules == self._rules:
            return
        before = self._issuers
        self._rules = rules
        self._issuers = {
            issuer.name: before[issuer.name]
            if issuer.name in before and before[issuer.name][0] == issuer
            else (issuer, IssuerKeys(issuer))
            for issuer in rules.issuers
        }
        self._proxies = ProxyHeaders(rules.proxies) if rules.proxies else None
        self._checked = RecentValues(_TOKENS_KEPT)

    async def keep(self, http: aiohttp.ClientSession) -> None:
        """Keep the issuers' keys up to date, for as long as the gateway runs."""
        self._http = http
        try:
            while True:
                issuers = [keys for _, keys in self._issuers.values()]
                await asyncio.gather(*(keys.refresh(http) for keys in issuers))
                await asyncio.sleep(_LOOK_S)
        finally:
            self._http = None
            for _, keys in self._issuers.values():
                keys.stop()

    async def token_caller(self, token: str) -> Caller:
        """Whom a token names. Raises ``EntryRefusedError``."""
        digest = hashlib.sha256(token.encode("utf-8", errors="replace")).digest()
        known = self._checked.get(digest)
        if known and known.until > self._now() and known.issuer.keys is known.keys:
            return known.caller
        rules = self._rules
        found = await self._check(token)
        if rules is not self._rules:  # they were replaced while an issuer was asked
            return await self.token_caller(token)
        self._checked.put(digest, found)
        return found.caller

    def proxied(self, headers: CIMultiDictProxy[str], address: str | None) -> Caller | None:
        """Whom a proxy's headers name; ``None`` without them. Raises ``EntryRefusedError``."""
        who = self._proxies.owner_in(headers, address) if self._proxies else None
        return None if who is None else self._rules.caller(who, "proxy")

    def fault_without_proof(self, headers: CIMultiDictProxy[str]) -> SignOnFault | None:
        """Why headers that name an owner do not count; ``None`` where there are none."""
        return "untrusted_proxy" if self._proxies and self._proxies.are_in(headers) else None

    async def _check(self, token: str) -> _Checked:
        rules = self._rules
        head, name = token_check.unchecked(token)
        issuer, source = self._issuers.get(name, (None, None))
        if issuer is None or source is None or head.alg not in issuer.algorithms:
            raise EntryRefusedError("wrong_token")
        keys, matching = await self._keys_for(source, head)
        claims = token_check.claims_of(token, head.alg, matching, issuer)
        until = token_claims.until(claims) + issuer.leeway_s
        caller = rules.caller(token_claims.owner_in(claims, issuer), "token", issuer.prefix)
        return _Checked(caller, until, source, keys)

    async def _keys_for(
        self, source: IssuerKeys, head: token_check.TokenHead
    ) -> tuple[tuple[VerificationKey, ...], list[VerificationKey]]:
        """All keys of the issuer, and those that may have signed a token with this head."""
        keys = source.keys
        matching = verification_keys.matching(keys, head.alg, head.kid)
        if not matching and self._http is not None:
            await source.learn(self._http)
            keys = source.keys
            matching = verification_keys.matching(keys, head.alg, head.kid)
        if not keys:
            raise EntryRefusedError("issuer_away")
        return keys, matching
