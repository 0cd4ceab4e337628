"""Certificate files as authorities issue them, for tests."""

from __future__ import annotations

from pathlib import Path

import trustme

from stoker.certificates.certificate_files import CertificateFiles


def write_pair(
    folder: Path, issued: trustme.LeafCert, certificate: bytes | None = None
) -> CertificateFiles:
    """A certificate and its key as a person would place them."""
    pair = CertificateFiles(folder / "server.pem", folder / "server.key")
    chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
    pair.certificate.write_bytes(chain if certificate is None else certificate)
    pair.key.write_bytes(issued.private_key_pem.bytes())
    pair.key.chmod(0o600)
    return pair


def authority_file(folder: Path, authority: trustme.CA) -> Path:
    """The file of an authority's certificate."""
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path
