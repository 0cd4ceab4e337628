"""The gateway over TLS: renewed without dropping a connection, never by a broken pair."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import trustme
from tests.unit.certificates.issued import authority_file, write_pair

from stoker.certificates import own_certificates
from stoker.certificates.certificate_files import CertificateFiles
from stoker.certificates.client_trust import client_context
from stoker.certificates.own_certificates import OwnCertificates
from stoker.certificates.served_certificate import ServedCertificate
from stoker.errors import StokerError
from stoker.gateway import Gateway
from stoker.server.gateway_listener import listening

AUTHORITY = trustme.CA()
FIRST = AUTHORITY.issue_cert("127.0.0.1", "localhost")
SECOND = AUTHORITY.issue_cert("127.0.0.1", "localhost")
CLIENTS = trustme.CA()


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextlib.asynccontextmanager
async def serving(
    files: CertificateFiles, own: OwnCertificates | None = None
) -> AsyncIterator[tuple[str, ServedCertificate]]:
    certificate = ServedCertificate(files, own)
    async with listening(Gateway(), "127.0.0.1", 0, certificate) as endpoint:
        yield endpoint, certificate


async def health(endpoint: str, context: ssl.SSLContext) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{endpoint}/health", ssl=context) as response,
    ):
        return response.status


class Connection:
    """One connection, kept open between requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @property
    def serial(self) -> object:
        """The serial number of the certificate that it was shown."""
        return self._writer.get_extra_info("peercert")["serialNumber"]

    async def status(self) -> bytes:
        """The first line of an answer."""
        self._writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        await self._reader.readexactly(length)
        return head.partition(b"\r\n")[0]


@contextlib.asynccontextmanager
async def connected(endpoint: str, name: str | None = None) -> AsyncIterator[Connection]:
    """A connection for this name; for the address, where clients name no host."""
    host, port = endpoint.removeprefix("https://").split(":")
    opening = asyncio.open_connection(host, int(port), ssl=trusting(), server_hostname=name or host)
    reader, writer = await opening
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def serial(endpoint: str, name: str | None = None) -> object:
    """The serial number of the certificate that a new connection is shown."""
    async with connected(endpoint, name) as connection:
        return connection.serial


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return write_pair(tmp_path, FIRST)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.INFO, "stoker.gateway")
    yield caplog


async def test_it_serves_https_at_a_host_of_the_certificate(files: CertificateFiles) -> None:
    async with serving(files) as (endpoint, _):
        assert endpoint.startswith("https://127.0.0.1:")
        assert await health(endpoint, trusting()) == 200


async def test_plain_http_to_it_is_no_request(files: CertificateFiles) -> None:
    async with serving(files) as (endpoint, _), aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientError):
            await http.get(endpoint.replace("https", "http"))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_before_1_2_is_refused(files: CertificateFiles) -> None:
    old = trusting()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with serving(files) as (endpoint, _):
        with pytest.raises(aiohttp.ClientConnectorError):
            await health(endpoint, old)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting()
            context.minimum_version = context.maximum_version = version
            assert await health(endpoint, context) == 200


async def test_new_connections_get_a_renewed_certificate_and_open_ones_go_on(
    files: CertificateFiles, log: pytest.LogCaptureFixture
) -> None:
    async with serving(files) as (endpoint, certificate), connected(endpoint) as open_one:
        assert b"200" in await open_one.status()
        write_pair(files.certificate.parent, SECOND)
        certificate.read_again()
        # Clients name a host in the handshake, but no address.
        assert await serial(endpoint, "localhost") != open_one.serial
        assert await serial(endpoint) != open_one.serial
        assert b"200" in await open_one.status()
    assert log.text.count("TLS certificate reloaded") == 1


async def test_a_broken_pair_keeps_the_old_one_and_is_logged_once(
    files: CertificateFiles, log: pytest.LogCaptureFixture
) -> None:
    async with serving(files) as (endpoint, certificate):
        first = await serial(endpoint)
        files.key.write_bytes(SECOND.private_key_pem.bytes())
        certificate.read_again()
        assert not log.records  # its other half may be about to be written
        for _ in range(3):
            certificate.read_again()
        assert await serial(endpoint) == first
        assert log.text.count("does not match the certificate") == 1
        assert "Give the key that the certificate was requested with" in log.text
        write_pair(files.certificate.parent, SECOND)
        certificate.read_again()
        assert await serial(endpoint) != first


async def test_a_file_that_is_gone_for_a_moment_changes_nothing(
    files: CertificateFiles, log: pytest.LogCaptureFixture
) -> None:
    async with serving(files) as (endpoint, certificate):
        content = files.certificate.read_bytes()
        files.certificate.unlink()
        certificate.read_again()
        assert await health(endpoint, trusting()) == 200
        files.certificate.write_bytes(content)
        certificate.read_again()
        assert await health(endpoint, trusting()) == 200
    assert not [record for record in log.records if record.levelno >= logging.ERROR]


async def test_a_link_that_is_pointed_at_another_file_is_followed(tmp_path: Path) -> None:
    """As certbot and Kubernetes renew: the links stay, what they mean changes."""
    for name, issued in (("1", FIRST), ("2", SECOND)):
        (tmp_path / name).mkdir()
        write_pair(tmp_path / name, issued)
    live = tmp_path / "live"
    live.symlink_to(tmp_path / "1")
    files = CertificateFiles(live / "server.pem", live / "server.key")
    async with serving(files) as (endpoint, certificate):
        first = await serial(endpoint)
        live.unlink()
        live.symlink_to(tmp_path / "2")
        certificate.read_again()
        assert await serial(endpoint) != first


def test_it_does_not_start_with_a_broken_pair(files: CertificateFiles) -> None:
    files.key.write_bytes(SECOND.private_key_pem.bytes())
    with pytest.raises(StokerError, match="does not match"):
        ServedCertificate(files)


def shows(issued: trustme.LeafCert) -> ssl.SSLContext:
    context = trusting()
    issued.configure_cert(context)
    return context


@pytest.fixture
def asking(files: CertificateFiles, tmp_path: Path) -> CertificateFiles:
    return replace(files, client_ca=authority_file(tmp_path, CLIENTS))


async def test_a_required_client_certificate_is_one_of_the_authority(
    asking: CertificateFiles,
) -> None:
    async with serving(asking) as (endpoint, _):
        assert await health(endpoint, shows(CLIENTS.issue_cert("ann@example.com"))) == 200
        for refused in (trusting(), shows(trustme.CA().issue_cert("ann@example.com"))):
            with pytest.raises(aiohttp.ClientError):
                await health(endpoint, refused)


async def test_an_optional_client_certificate_may_be_missing_but_not_a_strangers(
    asking: CertificateFiles,
) -> None:
    async with serving(replace(asking, client_certificates="optional")) as (endpoint, _):
        assert await health(endpoint, trusting()) == 200
        with pytest.raises(aiohttp.ClientError):
            await health(endpoint, shows(trustme.CA().issue_cert("ann@example.com")))


async def test_clients_of_a_replaced_authority_are_refused(asking: CertificateFiles) -> None:
    client = shows(CLIENTS.issue_cert("ann@example.com"))
    async with serving(asking) as (endpoint, certificate):
        assert await health(endpoint, client) == 200
        assert asking.client_ca is not None
        authority_file(asking.client_ca.parent, trustme.CA())
        certificate.read_again()
        with pytest.raises(aiohttp.ClientError):
            await health(endpoint, client)


async def test_own_commands_pass_without_any_setting(asking: CertificateFiles, home: Path) -> None:
    """The authority is unknown to this machine, and the gateway requires client certificates."""
    async with serving(asking, OwnCertificates()) as (endpoint, certificate):
        assert await health(endpoint, client_context()) == 200
        write_pair(asking.certificate.parent, SECOND)
        certificate.read_again()
        assert await health(endpoint, client_context()) == 200
        own_certificates.forget()
        with pytest.raises(aiohttp.ClientError):
            await health(endpoint, client_context())


async def test_a_slow_handshake_holds_up_no_other(files: CertificateFiles) -> None:
    async with serving(files) as (endpoint, _):
        host, port = endpoint.removeprefix("https://").split(":")
        with socket.create_connection((host, int(port))) as silent:
            silent.sendall(b"\x16\x03\x01")
            assert await health(endpoint, trusting()) == 200
