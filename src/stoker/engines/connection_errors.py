"""Why a server can't be reached: what the system reports, put into words. Opens no connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace

#: OpenSSL's X509_V_ERR_* numbers: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_HOST = (62, 64)  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH

#: What OpenSSL calls an answer that is no TLS: https://docs.openssl.org/master/man3/ERR_get_error
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE",
           "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_MESSAGE")  # fmt: skip

_TRUST = (
    "To trust it, set SSL_CERT_FILE=/path/to/ca.pem to the certificate of the authority that "
    "signed it (a self-signed one signs itself), and start again."
)


@dataclass(frozen=True, slots=True)
class ConnectionProblem:
    """Why a server can't be reached."""

    #: The end of a sentence, without an address, so that clients may read it too: "its certificate
    #: is not trusted".
    cause: str
    #: The system's own words.
    words: str
    fix: str
    #: Something does answer there.
    is_reached: bool = False

    def __str__(self) -> str:
        words = f" ({self.words})" if self.words else ""
        return f"{self.cause}{words}. {self.fix}"


def explain(error: BaseException) -> ConnectionProblem:
    """What an error of opening a connection means."""
    chain = list(_chain(error))
    found = (_known(cause) for cause in chain)
    known = next((problem for problem in found if problem is not None), None)
    system = next((cause for cause in chain if isinstance(cause, OSError)), error)
    fix = "Start the server, and give the address that it prints."
    return known or _problem("it accepts no connection", system, fix)


def _known(error: BaseException) -> ConnectionProblem | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, socket.gaierror):
        fix = "Check the name, and the DNS that this machine asks."
        return _problem("its name is not known to this machine", error, fix)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        fix = "Check the address, and whether a firewall stands before it."
        return _problem("it does not answer in time", "", fix)
    return None


def speaks_tls() -> ConnectionProblem:
    """A server that was asked with http, and speaks TLS."""
    cause = "its port speaks TLS, and the address is http"
    return ConnectionProblem(cause, "", "Write https://.", is_reached=True)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it; an HTTP client keeps the system's under a name of its own."""
    seen = 0
    while error is not None and seen < 8:
        for name in ("certificate_error", "os_error"):
            inner = getattr(error, name, None)
            if isinstance(inner, BaseException) and inner is not error:
                yield inner
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _certificate(error: ssl.SSLCertVerificationError) -> ConnectionProblem:
    words = error.verify_message or str(error)
    if error.verify_code == _EXPIRED:
        return _of_tls("its certificate has expired", words, "Renew the server's certificate.")
    if error.verify_code == _NOT_YET_VALID:
        return _of_tls("its certificate is not valid yet", words, "Check this machine's clock.")
    if error.verify_code in _OTHER_HOST:
        fix = "Use the name that the certificate is for, or have this one added to it."
        return _of_tls("its certificate is for another name", words, fix)
    return _of_tls("its certificate is not trusted", words, _TRUST)


def _tls(error: ssl.SSLError) -> ConnectionProblem:
    reason = error.reason or ""
    if reason in _NO_TLS:
        return _of_tls("its port speaks no TLS, but the address is https", error, "Write http://.")
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        fix = "Stoker has no certificate of its own to show: use an address that asks for none."
        return _of_tls("it does not accept the TLS connection", error, fix)
    return _of_tls("the TLS connection fails", error, "Check that the port is that of https.")


def _of_tls(cause: str, words: object, fix: str) -> ConnectionProblem:
    return replace(_problem(cause, words, fix), is_reached=True)


def _problem(cause: str, words: object, fix: str) -> ConnectionProblem:
    return ConnectionProblem(cause, str(words).rstrip("."), fix)
