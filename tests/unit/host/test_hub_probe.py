"""The hub counts as reachable when this machine could download from it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from stoker.host.hub_probe import ask_hub, hub_reachable, token_accepted

Serve = Callable[[int], tuple[str, list[str]]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """``serve(404)`` gives an endpoint that answers so, and the list of what it was asked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    servers: list[ThreadingHTTPServer] = []

    def start(status: int) -> tuple[str, list[str]]:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                asked.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "reachable"),
    [(200, True), (401, True), (404, True), (403, False), (407, False), (500, False)],
)
def test_a_mirror_is_reachable_unless_it_is_blocked_or_broken(
    status: int, reachable: bool, serve: Serve
) -> None:
    endpoint, asked = serve(status)
    assert hub_reachable({"HF_ENDPOINT": endpoint}) is reachable
    assert len(asked) == 1


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_offline_means_not_asked(value: str, serve: Serve) -> None:
    endpoint, asked = serve(200)
    assert hub_reachable({"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": value}) is None
    assert asked == []


def test_a_proxy_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, asked = serve(200)
    monkeypatch.setenv("http_proxy", proxy)
    assert hub_reachable({"HF_ENDPOINT": "http://hub.invalid"}) is True
    assert asked == ["http://hub.invalid"]


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "hub.example", "file:///etc/hosts"])
def test_what_cannot_be_asked_is_not_reachable(endpoint: str, serve: Serve) -> None:
    assert hub_reachable({"HF_ENDPOINT": endpoint}, within_s=0.5) is False


def test_the_answer_shows_the_clock(serve: Serve) -> None:
    endpoint, _ = serve(404)
    answer = ask_hub({"HF_ENDPOINT": endpoint})
    assert answer is not None
    assert abs(answer.clock_ahead_s or 0) <= 2


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, trustme.CA, list[str | None]]]:
    """A mirror with TLS that knows one token, its authority, and the tokens that it saw."""
    seen: list[str | None] = []
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            token = self.headers["Authorization"]
            seen.append(token)
            if self.path == "/moved/api/whoami-v2":
                self.send_response(302)
                self.send_header("Location", "/api/whoami-v2")
            else:
                self.send_response(200 if token == "Bearer hf_good" else 401)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.do_HEAD()

    authority = trustme.CA()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"https://localhost:{server.server_port}", authority, seen
    server.shutdown()
    server.server_close()


def test_a_certificate_of_a_stranger_is_distinguished_from_no_network(
    mirror: tuple[str, trustme.CA, list[str | None]],
) -> None:
    answer = ask_hub({"HF_ENDPOINT": mirror[0]})
    assert answer is not None
    assert (answer.reachable, answer.untrusted) == (False, True)
    nobody = ask_hub({"HF_ENDPOINT": "https://127.0.0.1:1"})
    assert nobody is not None
    assert (nobody.reachable, nobody.untrusted) == (False, False)


def test_a_token_is_asked_about_over_tls_alone_and_not_carried_on(
    mirror: tuple[str, trustme.CA, list[str | None]],
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint, authority, tokens_seen = mirror
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    assert token_accepted("hf_good", {"HF_ENDPOINT": endpoint}) is True
    assert token_accepted("hf_bad", {"HF_ENDPOINT": endpoint}) is False
    # The place that the answer sends on to does not get the token, so it can't judge it.
    assert token_accepted("hf_good", {"HF_ENDPOINT": f"{endpoint}/moved"}) is None
    assert tokens_seen == ["Bearer hf_good", "Bearer hf_bad", "Bearer hf_good", None]
    assert token_accepted("hf_good", {"HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "1"}) is None
    assert len(tokens_seen) == 4
    plain, asked = serve(200)
    assert token_accepted("hf_good", {"HF_ENDPOINT": plain}) is None
    assert asked == []
