"""A certificate and its key as PEM files: read, compared, and every fault named with its fix."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from stoker.errors import StokerError
from stoker.network_addresses import is_loopback, reached_at

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

#: Whether a client must show a certificate of the authority, or may.
ClientCertificates = Literal["required", "optional"]

_PEM_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
#: PKCS#8, and the older forms with the algorithm's name: RFC 7468, RFC 1421.
_PEM_KEY = b"PRIVATE KEY-----"
_OTHERS = stat.S_IRWXO
_GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the TLS of a listener comes from."""

    #: The server's certificate, then those of intermediate authorities.
    certificate: Path
    key: Path
    #: The authority of clients' certificates; ``None`` asks clients for none.
    client_ca: Path | None = None
    client_certificates: ClientCertificates = "required"

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path)


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """What a certificate that was read is for."""

    #: Host names and IP addresses; names may begin with ``*.``.
    names: tuple[str, ...]
    #: Why clients will not accept it although it can be served; empty where nothing is wrong.
    warning: str = ""


def inspect(files: CertificateFiles) -> CertificateNames:
    """Read the files and compare them. Raises ``StokerError`` for a pair that can't be served."""
    chain = _certificates(files.certificate, _content(files.certificate, "certificate"))
    key = _content(files.key, "key")
    _refuse_open_key(files.key)
    _refuse_other_key(files, chain, _public_key(files.key, key))
    if files.client_ca is not None:
        _certificates(files.client_ca, _content(files.client_ca, "clients' authority"))
    return CertificateNames(_names(chain[0]), _warning(files.certificate, chain[0]))


def host_for(bind: str, names: tuple[str, ...]) -> str:
    """The host by which to address a server that listens on ``bind`` with such a certificate.

    Its address or a name of this machine, where the certificate covers one; else the first name
    of the certificate that is one host; else the address.
    """
    address = reached_at(bind)
    local = ("localhost",) if is_loopback(address) else ()
    candidates = (address, *local, socket.gethostname())
    covered = (host for host in candidates if any(_covers(name, host) for name in names))
    whole = (name for name in names if not name.startswith("*"))
    return next(covered, None) or next(whole, None) or address


def _covers(name: str, host: str) -> bool:
    """As RFC 6125 has it: a ``*`` stands for one label."""
    name, host = name.lower(), host.lower()
    first, _, rest = host.partition(".")
    return name == host or (bool(first and rest) and name == f"*.{rest}")


def _content(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StokerError(
            f"The TLS {what} {path} can't be read.",
            f"The system reports: {error.strerror or error}.",
            "Give the path of a PEM file that this account may read.",
        ) from error


def _certificates(path: Path, content: bytes) -> list[Certificate]:
    from cryptography import x509  # noqa: PLC0415  (only where TLS is served)

    if _PEM_CERTIFICATE not in content and _PEM_KEY in content:
        raise StokerError(
            f"{path} holds a private key and no certificate.",
            "It was passed as the certificate.",
            "Pass the certificate file there, and this one as the key.",
        )
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise StokerError(
            f"{path} holds no certificate that can be read.",
            "It is no PEM file, is damaged, or was only half written.",
            f"Write it again. From DER: openssl x509 -inform der -in {path.name} -out server.pem.",
        ) from error


def _public_key(path: Path, content: bytes) -> bytes:
    """The public key to a private one. No message quotes what the file holds."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_private_key,
    )

    if _PEM_KEY not in content:
        raise StokerError(
            f"{path} holds no private key.",
            "It is no PEM file, is damaged, or holds only a certificate.",
            "Give the file that begins with -----BEGIN PRIVATE KEY-----.",
        )
    try:
        return _encoded(load_pem_private_key(content, password=None).public_key())
    except TypeError:
        raise StokerError(
            f"The TLS key {path} is encrypted.",
            "The gateway starts and reloads without a person who could type its password.",
            f"Decrypt it: openssl pkey -in {path.name} -out plain.key; chmod 600 plain.key.",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise StokerError(
            f"The TLS key {path} can't be read.",
            "It is damaged, only half written, or of a kind that TLS does not use.",
            "Write it again, as an RSA or an EC key in PEM form.",
        ) from None


def _encoded(public_key: object) -> bytes:
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415

    encoded: bytes = public_key.public_bytes(  # type: ignore[attr-defined]
        forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _refuse_other_key(files: CertificateFiles, chain: list[Certificate], key: bytes) -> None:
    """Raise where the first certificate is not the key's."""
    first, *others = [_encoded(certificate.public_key()) for certificate in chain]
    if key == first:
        return
    if key in others:
        raise StokerError(
            f"The certificates in {files.certificate} are in the wrong order.",
            f"The server's own, number {others.index(key) + 2} in the file, must be the first.",
            "Write it first, then the authorities': cat server.pem intermediate.pem > chain.pem.",
        )
    raise StokerError(
        f"The key {files.key} does not match the certificate {files.certificate}.",
        "The certificate was made for another key, or one of the files is older than the other.",
        "Give the key that the certificate was requested with, or request a new certificate.",
    )


def _refuse_open_key(path: Path) -> None:
    """Raise where other users may read the key.

    PostgreSQL's rule: one of root's may be readable by a group, as Debian's ``ssl-cert`` is.
    https://www.postgresql.org/docs/current/ssl-tcp.html
    """
    if os.name != "posix":
        return
    found = path.stat()
    if not found.st_mode & (_OTHERS if found.st_uid == 0 else _GROUP_AND_OTHERS):
        return
    raise StokerError(
        f"Other users can read the TLS key {path}.",
        f"Its permissions are {stat.filemode(found.st_mode)}: who reads it can pose as this "
        "server.",
        f"Take that away: chmod 600 {path}.",
    )


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509  # noqa: PLC0415

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*found.get_values_for_type(x509.DNSName), *map(str, addresses))


def _warning(path: Path, certificate: Certificate) -> str:
    now = datetime.now(timezone.utc)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        return (
            f"The TLS certificate {path} expired on {end:%Y-%m-%d}: clients refuse it. Renew it; "
            "the gateway takes on the new files by itself."
        )
    if begin > now:
        return (
            f"The TLS certificate {path} is valid from {begin:%Y-%m-%d %H:%M} UTC: clients refuse "
            "it until then. Check this machine's clock."
        )
    if not _names(certificate):
        return (
            f"The TLS certificate {path} names no host (subjectAltName): clients refuse it. "
            "Request one that has the name by which they address the gateway."
        )
    return ""
