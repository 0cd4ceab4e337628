"""Queries one address in a second or two, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from stoker.certificates.client_trust import http_connection
from stoker.doctor.snapshot import CertificateFault, EndpointReading, Failure, ListedModel
from stoker.engines import is_alias
from stoker.host import clock_ahead_s

#: The limit of each step: connecting, and each of three requests.
WITHIN_S = 1.5
_MAX_ANSWER_BYTES = 1 << 20
_DAY_S = 86_400
#: OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED, then
#: X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_TIME_FAULTS = (9, 10)
_NAME_FAULTS = (62, 64)


def ask(url: str, key: str | None = None) -> EndpointReading:
    """What answers at ``url``, which comes from ``network_addresses.base_url``. Never raises.

    The certificate is judged as an editor on this machine judges it.
    """
    judged = _ask(url, key, trust_own_gateway=False)
    if judged.failure != "certificate":
        return judged
    known = _ask(url, key, trust_own_gateway=True)
    if known.failure is not None:
        return judged
    return replace(known, certificate_fault=judged.certificate_fault, certificate_days=None)


def _ask(url: str, key: str | None, *, trust_own_gateway: bool) -> EndpointReading:
    parts = urlsplit(url)
    began = time.monotonic()
    connection = http_connection(
        parts.scheme, parts.netloc, WITHIN_S, trust_own_gateway=trust_own_gateway
    )
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        connection.connect()
        days = _days_left(connection)
        status, body, date = _get(connection, f"{parts.path}/v1/models", headers)
        took_ms = round(1000 * (time.monotonic() - began))
        gateway = _gateway(connection, parts.path, headers)
    except ssl.SSLCertVerificationError as error:
        return EndpointReading(url, failure="certificate", certificate_fault=_fault(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return EndpointReading(url, failure=_failure(error))
    finally:
        connection.close()
    return EndpointReading(
        url,
        status=status,
        models=_models(body) if status == http.client.OK else None,
        stoker_version=gateway.version if gateway else None,
        ready=gateway.ready if gateway else None,
        backends=gateway.backends if gateway else 0,
        backends_up=gateway.backends_up if gateway else 0,
        took_ms=took_ms,
        certificate_days=days,
        clock_ahead_s=clock_ahead_s(date),
        with_key=key is not None,
    )


def _get(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]
) -> tuple[int, Any, str | None]:
    connection.request("GET", path, headers=dict(headers))
    response = connection.getresponse()
    content = response.read(_MAX_ANSWER_BYTES)
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    return response.status, body, response.getheader("Date")


@dataclass(frozen=True, slots=True)
class _Gateway:
    """What a Stoker gateway reports of itself."""

    version: str
    ready: bool
    backends: int
    backends_up: int


def _gateway(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]
) -> _Gateway | None:
    """The answers of ``/info`` and ``/ready``; ``None`` for any other server."""
    try:
        status, body, _ = _get(connection, f"{path}/info", headers)
        if status != http.client.OK or not isinstance(body, dict) or body.get("server") != "stoker":
            return None
        ready = _get(connection, f"{path}/ready", headers)[0] == http.client.OK
    except (OSError, http.client.HTTPException):
        return None
    listed = body.get("backends")
    backends = [b for b in listed if isinstance(b, dict)] if isinstance(listed, list) else []
    up = sum(backend.get("up") is True for backend in backends)
    return _Gateway(str(body.get("version")), ready, len(backends), up)


def _models(body: Any) -> tuple[ListedModel, ...] | None:
    entries = body.get("data") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        return None
    dicts = [entry for entry in entries if isinstance(entry, dict)]
    named = [entry for entry in dicts if entry.get("id") and not is_alias(entry)]
    return tuple(ListedModel(str(e["id"]), _length(e.get("max_model_len"))) for e in named)


def _length(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _days_left(connection: http.client.HTTPConnection) -> int | None:
    if not isinstance(connection.sock, ssl.SSLSocket):
        return None
    until = (connection.sock.getpeercert() or {}).get("notAfter")
    if not isinstance(until, str):
        return None
    return int((ssl.cert_time_to_seconds(until) - time.time()) // _DAY_S)


def _fault(error: ssl.SSLCertVerificationError) -> CertificateFault:
    if error.verify_code in _TIME_FAULTS:
        return "expired"
    return "name" if error.verify_code in _NAME_FAULTS else "untrusted"


def _failure(error: Exception) -> Failure:
    if isinstance(error, socket.gaierror):
        return "unresolved"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "broken-off"
