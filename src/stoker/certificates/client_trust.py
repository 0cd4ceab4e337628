"""What Stoker's commands trust as clients: the system's authorities, and their own gateway."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from stoker.certificates import own_certificates

if TYPE_CHECKING:
    import http.client


def client_context(*, trust_own_gateway: bool = True) -> ssl.SSLContext:
    """TLS that verifies servers. ``SSL_CERT_FILE`` names a file of further authorities.

    Other programs do not trust the gateway of this machine for being Stoker's: without
    ``trust_own_gateway`` it is judged as they judge it.

    OpenSSL itself reads that variable: https://docs.openssl.org/master/man3/SSL_CTX_load_verify_locations
    """
    context = ssl.create_default_context()
    own_certificates.show_client(context)
    if trust_own_gateway:
        own_certificates.trust_gateway(context)
    return context


def http_connection(
    scheme: str, netloc: str, timeout_s: float, *, trust_own_gateway: bool = True
) -> http.client.HTTPConnection:
    """A connection to a server, not opened yet; the caller closes it."""
    import http.client  # noqa: PLC0415  (30 ms that most commands do without)

    if scheme == "https":
        context = client_context(trust_own_gateway=trust_own_gateway)
        return http.client.HTTPSConnection(netloc, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(netloc, timeout=timeout_s)
