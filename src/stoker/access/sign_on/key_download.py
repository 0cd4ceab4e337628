"""Asks an issuer for its public keys: OpenID Connect Discovery 1.0, then its JWK set."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from stoker.access.sign_on import verification_keys
from stoker.access.sign_on.sign_on_rules import KeySource
from stoker.access.sign_on.verification_keys import VerificationKey
from stoker.network_addresses import is_loopback, is_url

#: Packed, a small answer could unpack to a large one.
_HEADERS: Mapping[str, str] = {"Accept": "application/json", "Accept-Encoding": "identity"}
#: Where an issuer describes itself, below its own address.
WELL_KNOWN = "/.well-known/openid-configuration"

_Document = TypeVar("_Document")


class KeyDownloadError(Exception):
    """The keys can't be had; the message is the reason, and quotes nothing of an answer."""


class _Discovery(msgspec.Struct, frozen=True):
    issuer: str
    jwks_uri: str


def is_safe_url(url: str) -> bool:
    """Whether no one on the way can replace what is read there: TLS, or this machine itself."""
    parts = urlsplit(url) if is_url(url) else None
    if parts is None or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


async def downloaded(
    http: aiohttp.ClientSession, source: KeySource, issuer: str, within_s: float
) -> tuple[VerificationKey, ...]:
    """The issuer's keys as they are now. Raises ``KeyDownloadError``."""
    try:
        return await asyncio.wait_for(_downloaded(http, source, issuer), within_s)
    except asyncio.TimeoutError:
        raise KeyDownloadError(f"it did not answer within {within_s:g} seconds") from None
    except aiohttp.ClientError as error:
        raise KeyDownloadError(f"it can't be reached ({_cause(error)})") from None
    except (OSError, ValueError) as error:
        raise KeyDownloadError(str(error)) from None


async def _downloaded(
    http: aiohttp.ClientSession, source: KeySource, issuer: str
) -> tuple[VerificationKey, ...]:
    context = await asyncio.to_thread(trusting, source.ca_file) if source.ca_file else None
    url = source.jwks_url
    if not url:
        found = _decoded(await _body(http, source.discovery_url, context), _Discovery)
        if found.issuer != issuer:
            raise ValueError(f"it calls itself {found.issuer[:200]!r}, not {issuer!r}")
        if not is_safe_url(found.jwks_uri):
            raise ValueError("it names an address without TLS for its keys")
        url = found.jwks_uri
    return verification_keys.read(await _body(http, url, context))


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Trust in the certificates of a file. Raises ``OSError`` where it has none."""
    return ssl.create_default_context(cafile=ca_file)


async def _body(http: aiohttp.ClientSession, url: str, context: ssl.SSLContext | None) -> bytes:
    """What is there, from this address itself: an issuer has no reason to send a client on."""
    async with http.get(
        url, headers=_HEADERS, allow_redirects=False, ssl=context or True
    ) as response:
        if response.status != 200:
            raise ValueError(f"it answered {response.status}")
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > verification_keys.MOST_BYTES:
                raise ValueError("its answer is too large")
        return bytes(body)


def _decoded(body: bytes, form: type[_Document]) -> _Document:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ValueError("its discovery document can't be read") from None


def _cause(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not trusted here: name the authority's in `ca_file`"
    if isinstance(error, aiohttp.ClientOSError) and error.strerror:
        return error.strerror
    return type(error).__name__
