"""A real issuer of tokens: discovery, a JWK set and signatures as OpenID Connect has them.

Its keys can be rotated and removed, and its answers delayed, broken or kept back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "stoker"
_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def private_key(algorithm: str = "RS256", number: int = 0, bits: int = 2048) -> Any:
    """A private key for an algorithm; another one for each number. Kept: to make one takes time."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_jwk(key: Any, algorithm: str, kid: str | None, **fields: Any) -> dict[str, Any]:
    """The public half of a key, as an issuer publishes it."""
    jwk = json.loads(get_default_algorithms()[algorithm].to_jwk(key.public_key()))
    jwk.pop("key_ops", None)
    named = {} if kid is None else {"kid": kid}
    return {**jwk, **named, "alg": algorithm, "use": "sig", **fields}


def public_pem(key: Any) -> bytes:
    """The public half of a key as PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem


def packed(part: object) -> str:
    """A part of a token: JSON, or bytes as they are."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class OidcIssuer:
    """One issuer at a port of loopback."""

    url: str = ""
    #: Names and private keys with which tokens can be signed, and which of them it publishes.
    keys: dict[str, tuple[str, Any]] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    #: Paths that were asked for.
    asked: list[str] = field(default_factory=list)
    #: Answered in place of the documents.
    garbage: bytes | None = None
    status: int = 200
    delay_s: float = 0.0
    #: What its discovery document holds besides, or in place of what it should.
    discovery: dict[str, Any] = field(default_factory=dict)
    more_keys: list[dict[str, Any]] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _port: int = 0

    def add(self, kid: str, algorithm: str = "RS256", number: int = 0) -> None:
        """Publish one more key."""
        self.keys[kid] = (algorithm, private_key(algorithm, number))
        self.published.append(kid)

    def token(
        self,
        kid: str = "first",
        *,
        head: dict[str, Any] | None = None,
        lasts_s: float = 300.0,
        without: tuple[str, ...] = (),
        **claims: Any,
    ) -> str:
        """A token for ann, signed; ``claims`` add to what it holds or replace it."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + lasts_s}
        held = {name: value for name, value in {**usual, **claims}.items() if name not in without}
        algorithm, key = self.keys[kid]
        fields = {"alg": algorithm, "kid": kid, "typ": "JWT", **(head or {})}
        fields = {name: value for name, value in fields.items() if value is not None}
        signed = f"{packed(fields)}.{packed(held)}"
        signer = get_default_algorithms()[algorithm]
        return f"{signed}.{packed(signer.sign(signed.encode(), signer.prepare_key(key)))}"

    def jwk_set(self) -> dict[str, Any]:
        """What it publishes; an issuer has keys for encryption in it as well."""
        keys = [public_jwk(self.keys[kid][1], self.keys[kid][0], kid) for kid in self.published]
        return {"keys": [*keys, *self.more_keys]}

    async def start(self) -> None:
        """Listen, at the same port as before."""
        app = web.Application()
        app.router.add_get("/realms/team/.well-known/openid-configuration", self._discover)
        app.router.add_get("/realms/team/keys", self._keys)
        app.router.add_get("/elsewhere", self._keys)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}/realms/team"

    async def stop(self) -> None:
        """Go away."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _discover(self, request: web.Request) -> web.StreamResponse:
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.discovery}
        return await self._answer(request, document)

    async def _keys(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self.jwk_set())

    async def _answer(self, request: web.Request, document: object) -> web.StreamResponse:
        self.asked.append(request.path)
        await asyncio.sleep(self.delay_s)
        body = json.dumps(document).encode() if self.garbage is None else self.garbage
        headers = {"Location": "/elsewhere"} if self.status // 100 == 3 else None
        return web.Response(body=body, status=self.status, headers=headers)


@contextlib.asynccontextmanager
async def issuing(*algorithms: str) -> AsyncIterator[OidcIssuer]:
    """An issuer that runs, with the key ``first``, or one for each algorithm, named by it."""
    issuer = OidcIssuer()
    if not algorithms:
        issuer.add("first")
    for algorithm in algorithms:
        issuer.add(algorithm, algorithm)
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()


def unsigned(token: str, **head: Any) -> str:
    """A token with another head and no signature."""
    return f"{packed(head)}.{token.split('.')[1]}."


def hmac_signed(token: str, secret: bytes, algorithm: str = "HS256", **head: Any) -> str:
    """A token whose signature is a HMAC with what is public: the key itself (CVE-2015-9235)."""
    signed = f"{packed({'alg': algorithm, 'typ': 'JWT', **head})}.{token.split('.')[1]}"
    hasher = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]

    digest = hmac.new(secret, signed.encode(), getattr(hashlib, hasher)).digest()
    return f"{signed}.{packed(digest)}"


def payload_of(token: str) -> Any:
    """The claims, unchecked."""
    return jwt.decode(token, options={"verify_signature": False})
