"""Serve a gateway at an address: for ``stoker up`` and for ``stoker gateway``."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from stoker import network_addresses
from stoker.certificates.certificate_files import host_for
from stoker.certificates.served_certificate import ServedCertificate
from stoker.errors import StokerError
from stoker.gateway import Gateway

#: How often the files of the certificate are looked at.
_POLL_S = 0.5


@contextlib.asynccontextmanager
async def listening(
    gateway: Gateway, bind: str, port: int, certificate: ServedCertificate | None = None
) -> AsyncIterator[str]:
    """Listen on ``bind`` and ``port`` (0 takes a free one) while the context lasts.

    With a certificate it speaks TLS, and takes on each change of the certificate's files. Yields
    the endpoint. Raises ``StokerError`` where it can't listen there.
    """
    runner = gateway.runner()
    await runner.setup()
    following = asyncio.create_task(certificate.follow(_POLL_S)) if certificate else None
    try:
        await _bind(runner, bind, port, certificate.context if certificate else None)
        host, bound = runner.addresses[0][:2]
        if certificate:
            yield network_addresses.endpoint(host_for(host, certificate.names), bound, "https")
        else:
            yield network_addresses.endpoint(host, bound)
    finally:
        if following:
            following.cancel()
        await runner.cleanup()


async def _bind(runner: web.BaseRunner, bind: str, port: int, tls: ssl.SSLContext | None) -> None:
    try:
        await web.TCPSite(runner, bind, port, ssl_context=tls).start()
    except OSError as error:
        raise StokerError(
            f"The gateway can't listen on {bind}:{port}.",
            f"The system reports: {error.strerror or error}.",
            "Choose another port, or stop the program that uses this one.",
        ) from error
