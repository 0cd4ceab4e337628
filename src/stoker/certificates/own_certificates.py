"""What Stoker's own commands need of the gateway of the deployment on this machine.

Its certificate, which they trust as it is, and a client certificate of their own, new at each
start. Both lie in the state folder, which is private to the user, like ``own.key``.
"""

from __future__ import annotations

import contextlib
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

from stoker import paths
from stoker.private_files import make_private, write_private

#: Longer than a gateway runs between two starts.
_VALID = timedelta(days=3650)
#: A clock may be set back a little after the start.
_BEFORE = timedelta(days=1)


class OwnCertificates:
    """The certificates of one run of the deployment's gateway. Raises ``OSError``."""

    def __init__(self) -> None:
        make_private(paths.state_dir())
        self._client = _new_client()
        write_private(_client_file(), self._client)

    def trust_client(self, context: ssl.SSLContext) -> None:
        """Accept the commands' certificate beside those of the clients' authority."""
        certificate = self._client[self._client.index(b"-----BEGIN CERTIFICATE-----") :]
        context.load_verify_locations(cadata=certificate.decode("ascii"))

    @staticmethod
    def publish(certificate: Path) -> None:
        """Have the commands trust what the gateway serves now."""
        write_private(_served_file(), certificate.read_bytes())


def forget() -> None:
    """Remove what an earlier gateway left, which this one does not serve."""
    for file in (_client_file(), _served_file()):
        file.unlink(missing_ok=True)


def show_client(context: ssl.SSLContext) -> None:
    """Have a client show the certificate that the gateway which runs here accepts, if any."""
    with contextlib.suppress(OSError):
        context.load_cert_chain(_client_file())


def trust_gateway(context: ssl.SSLContext) -> None:
    """Have a client trust the gateway that runs here, if it uses TLS."""
    # The certificate counts by itself, be it self-signed or of an authority that is not known.
    with contextlib.suppress(OSError):
        context.load_verify_locations(_served_file())
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _served_file() -> Path:
    return paths.state_dir() / "own-gateway.pem"


def _client_file() -> Path:
    return paths.state_dir() / "own-client.pem"


def _new_client() -> bytes:
    """A key, and its self-signed certificate for clients, in PEM."""
    from cryptography import x509  # noqa: PLC0415  (only where TLS is served)
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization as forms  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stoker")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    return private + certificate.public_bytes(forms.Encoding.PEM)
