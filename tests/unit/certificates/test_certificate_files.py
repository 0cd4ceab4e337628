"""Each fault of a certificate and its key is named with what to do about it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization as forms
from tests.unit.certificates.issued import write_pair

from stoker.certificates.certificate_files import CertificateFiles, host_for, inspect
from stoker.errors import StokerError

AUTHORITY = trustme.CA()
SERVER = AUTHORITY.issue_cert("models.example.com", "127.0.0.1")
OF_INTERMEDIATE = AUTHORITY.create_child_ca().issue_cert("models.example.com")
NOW = datetime.now(timezone.utc)


def fault(files: CertificateFiles) -> str:
    with pytest.raises(StokerError) as caught:
        inspect(files)
    assert caught.value.fix
    return str(caught.value)


def test_a_pair_in_order_names_its_hosts(tmp_path: Path) -> None:
    found = inspect(write_pair(tmp_path, SERVER))
    assert found.names == ("models.example.com", "127.0.0.1")
    assert not found.warning


def test_certificate_and_key_may_be_one_file(tmp_path: Path) -> None:
    files = write_pair(tmp_path, SERVER)
    files.key.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    assert inspect(replace(files, certificate=files.key)).names


@pytest.mark.parametrize("missing", ["certificate", "key", "client_ca"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    nowhere = tmp_path / "nowhere.pem"
    changes: dict[str, Path] = {missing: nowhere}
    expected = fault(replace(write_pair(tmp_path, SERVER), **changes))  # type: ignore[arg-type]
    assert str(nowhere) in expected
    assert "No such file" in expected


def encrypted(files: CertificateFiles) -> None:
    key = forms.load_pem_private_key(files.key.read_bytes(), None)
    locked = forms.BestAvailableEncryption(b"password")
    files.key.write_bytes(key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, locked))


def swapped(files: CertificateFiles) -> None:
    certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
    files.certificate.write_bytes(key)
    files.key.write_bytes(certificate)


def other_key(files: CertificateFiles) -> None:
    files.key.write_bytes(AUTHORITY.issue_cert("a").private_key_pem.bytes())


def half_certificate(files: CertificateFiles) -> None:
    files.certificate.write_bytes(files.certificate.read_bytes()[:200])


def half_key(files: CertificateFiles) -> None:
    files.key.write_bytes(files.key.read_bytes()[:60])


def as_der(files: CertificateFiles) -> None:
    files.certificate.write_bytes(b"\x30\x82\x01\x0a\x02\x82")


def empty(files: CertificateFiles) -> None:
    files.certificate.write_bytes(b"")


def certificate_as_key(files: CertificateFiles) -> None:
    files.key.write_bytes(files.certificate.read_bytes())


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (encrypted, "is encrypted"),
        (swapped, "holds a private key and no certificate"),
        (other_key, "does not match the certificate"),
        (half_certificate, "holds no certificate that can be read"),
        (half_key, "can't be read"),
        (as_der, "openssl x509 -inform der"),
        (empty, "holds no certificate"),
        (certificate_as_key, "holds no private key"),
    ],
)
def test_a_spoilt_pair_is_refused_with_its_cause(
    tmp_path: Path, spoil: Callable[[CertificateFiles], None], what: str
) -> None:
    files = write_pair(tmp_path, SERVER)
    spoil(files)
    assert what in fault(files)


def test_an_authority_before_the_servers_own_certificate_is_the_wrong_order(
    tmp_path: Path,
) -> None:
    own, *others = [part.bytes() for part in OF_INTERMEDIATE.cert_chain_pems]
    expected = fault(write_pair(tmp_path, OF_INTERMEDIATE, b"".join([*others, own])))
    assert "wrong order" in expected
    assert "number 2" in expected


def test_no_message_quotes_the_key(tmp_path: Path) -> None:
    files = write_pair(tmp_path, SERVER)
    body = files.key.read_text().splitlines()[1]
    files.key.write_text(files.key.read_text().replace(body, body[:-8]))
    assert body[:20] not in fault(files)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    files = write_pair(tmp_path, SERVER)
    files.key.chmod(mode)
    assert "chmod 600" in fault(files)


@pytest.mark.parametrize(
    ("validity", "warning"),
    [
        ({"not_before": NOW - timedelta(9), "not_after": NOW - timedelta(2)}, "expired on"),
        ({"not_before": NOW + timedelta(2)}, "is valid from"),
    ],
)
def test_a_certificate_out_of_its_time_is_served_with_a_warning(
    tmp_path: Path, validity: dict[str, datetime], warning: str
) -> None:
    issued = AUTHORITY.issue_cert("localhost", **validity)  # type: ignore[arg-type]
    assert warning in inspect(write_pair(tmp_path, issued)).warning


@pytest.mark.parametrize(
    ("bind", "names", "host"),
    [
        ("127.0.0.1", ("localhost", "127.0.0.1"), "127.0.0.1"),
        ("127.0.0.1", ("localhost",), "localhost"),
        ("0.0.0.0", ("models.example.com", "localhost"), "localhost"),
        ("0.0.0.0", ("*.other.example", "models.example.com"), "models.example.com"),
        ("0.0.0.0", ("*.example.com",), "gpu1.example.com"),
        ("::", ("::1",), "::1"),
        ("10.0.0.5", ("*.other.example",), "10.0.0.5"),
        ("10.0.0.5", (), "10.0.0.5"),
    ],
)
def test_the_endpoint_has_a_host_that_the_certificate_is_for(
    monkeypatch: pytest.MonkeyPatch, bind: str, names: tuple[str, ...], host: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu1.example.com")
    assert host_for(bind, names) == host
