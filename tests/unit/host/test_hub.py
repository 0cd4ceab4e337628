"""The hub counts as reachable when this machine could download from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stoker.host.hub import hub_reachable

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
