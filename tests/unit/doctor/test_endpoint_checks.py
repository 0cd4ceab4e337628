"""Every way in which an address can fail is recognised as such."""

from __future__ import annotations

import datetime
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.unit.doctor.conftest import ONE_MODEL, Serve

from stoker.doctor.endpoint_checks import ask
from stoker.doctor.snapshot import ListedModel

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def test_a_server_that_lists_models_works(serve: Serve) -> None:
    answered = ask(serve().url, key="sk-1")
    assert answered.works
    assert answered.models == (ListedModel("my-model", 65536),)
    assert answered.with_key
    assert answered.stoker_version is None
    assert abs(answered.clock_ahead_s or 0) <= 2


def test_a_gateway_is_recognised_by_what_it_reports(serve: Serve) -> None:
    backends = [{"engine": "vllm", "up": True}, {"engine": "vllm", "up": False}]
    info = {"server": "stoker", "version": "0.1.0", "backends": backends}
    server = serve({"/v1/models": (200, ONE_MODEL), "/info": (200, info), "/ready": (503, {})})
    answered = ask(server.url)
    assert answered.stoker_version == "0.1.0"
    assert answered.ready is False
    assert (answered.backends, answered.backends_up) == (2, 1)
    server.answers["/ready"] = (200, {})
    assert ask(server.url).ready is True


@pytest.mark.parametrize(
    "body",
    [b"<html>", {"data": "none"}, [], {"models": []}, b"\xff\xfe"],
    ids=["html", "wrong type", "a list", "another key", "not UTF-8"],
)
def test_what_is_no_list_of_models_is_none(serve: Serve, body: object) -> None:
    answered = ask(serve({"/v1/models": (200, body)}).url)
    assert answered.models is None
    assert not answered.works


def test_models_without_a_name_or_with_an_odd_length_are_read_as_far_as_they_go(
    serve: Serve,
) -> None:
    listed = {"data": [{"id": "a", "max_model_len": "long"}, {"object": "model"}, 7]}
    assert ask(serve({"/v1/models": (200, listed)}).url).models == (ListedModel("a", None),)


def test_a_gateways_second_name_for_a_model_is_no_second_model(serve: Serve) -> None:
    entry = {"id": "my-model", "owned_by": "stoker"}
    alias = {**entry, "id": "local", "root": "my-model"}
    listed = serve({"/v1/models": (200, {"data": [entry, alias]})})
    assert ask(listed.url).models == (ListedModel("my-model"),)
    really = serve({"/v1/models": (200, {"data": [{**alias, "owned_by": "vllm"}]})})
    assert ask(really.url).models == (ListedModel("local"),)


def test_a_server_that_asks_for_a_key_may_work_for_the_editor(serve: Serve) -> None:
    server = serve({"/v1/models": (401, {"error": {}})})
    assert ask(server.url).works
    assert not ask(server.url, key="wrong").works


def test_a_path_before_v1_is_kept(serve: Serve) -> None:
    server = serve({"/stoker/v1/models": (200, ONE_MODEL)})
    assert ask(server.url + "/stoker").works


def test_a_clock_that_is_wrong_is_measured(serve: Serve) -> None:
    server = serve()
    now = datetime.datetime.now(datetime.timezone.utc)
    server.headers["Date"] = format_datetime(now + datetime.timedelta(hours=1), usegmt=True)
    ahead = ask(server.url).clock_ahead_s
    assert ahead is not None
    assert abs(ahead + 3600) < 60  # a busy machine may take seconds to answer itself


def test_nothing_that_listens_is_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert ask(f"http://127.0.0.1:{port}").failure == "refused"


def test_a_name_without_an_address_is_unresolved() -> None:
    assert ask("http://no-such-host.invalid").failure == "unresolved"


@pytest.fixture
def listener() -> Iterator[Callable[[bytes | None], str]]:
    """A program that listens, and answers every client with some bytes or with nothing."""
    sockets: list[socket.socket] = []

    def start(answer: bytes | None) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def run() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                sockets.append(client)
                if answer is not None:
                    client.recv(1000)
                    client.sendall(answer)
                    client.close()

        threading.Thread(target=run, daemon=True).start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for each in sockets:
        each.close()


def test_a_server_that_sends_nothing_is_given_up_in_time(
    listener: Callable[[bytes | None], str],
) -> None:
    began = time.monotonic()
    assert ask(f"http://{listener(None)}").failure == "timeout"
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b""])
def test_what_is_no_http_server_breaks_off(
    listener: Callable[[bytes | None], str], answer: bytes
) -> None:
    assert ask(f"http://{listener(answer)}").failure == "broken-off"


def test_https_to_a_plain_server_breaks_off(serve: Serve) -> None:
    assert ask(serve().url.replace("http:", "https:")).failure == "broken-off"


@pytest.fixture
def tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[trustme.LeafCert], str]]:
    """A server with TLS; the authority that this machine trusts is ``AUTHORITY``."""
    trusted = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    running: list[ThreadingHTTPServer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # HTTP/1.0: the connection ends with each answer
            text = json.dumps(ONE_MODEL if self.path == "/v1/models" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_arguments: Any) -> None:
            pass

    def start(certificate: trustme.LeafCert) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"https://localhost:{server.server_port}"

    yield start
    for each in running:
        each.shutdown()
        each.server_close()


AUTHORITY = trustme.CA()
Tls = Callable[[trustme.LeafCert], str]


def test_a_valid_certificate_shows_its_days(tls: Tls) -> None:
    certificate = AUTHORITY.issue_cert("localhost", not_after=NOW + 40 * DAY)
    answered = ask(tls(certificate))
    assert answered.works
    assert answered.certificate_days in (39, 40)


def test_an_expired_certificate_is_refused(tls: Tls) -> None:
    expired = AUTHORITY.issue_cert("localhost", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    answered = ask(tls(expired))
    assert (answered.failure, answered.certificate_fault) == ("certificate", "expired")


def test_a_certificate_of_tomorrow_is_refused(tls: Tls) -> None:
    early = AUTHORITY.issue_cert("localhost", not_before=NOW + DAY, not_after=NOW + 9 * DAY)
    assert ask(tls(early)).certificate_fault == "expired"


def test_a_certificate_for_another_name_is_refused(tls: Tls) -> None:
    assert ask(tls(AUTHORITY.issue_cert("example.com"))).certificate_fault == "name"


def test_a_certificate_of_a_stranger_is_refused(tls: Tls) -> None:
    assert ask(tls(trustme.CA().issue_cert("localhost"))).certificate_fault == "untrusted"
