"""What comes of a registry that answers as none should."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stoker.bundles import modelpack_registry
from stoker.errors import StokerError

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def registry(answer: Answer) -> Iterator[str]:
    """The address of one that answers each request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def without_end(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    try:
        while True:
            request.wfile.write(b" " * 1_000_000)
    except OSError:
        """The client has left."""


def broken_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "100")
    request.end_headers()
    request.wfile.write(b"{")


def refused(demand: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(401)
        request.send_header("WWW-Authenticate", demand)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def failed(request: BaseHTTPRequestHandler) -> None:
    request.send_error(500)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the logins of an account's Docker."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".docker"
    folder.mkdir()
    return folder / "config.json"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (without_end, "without end"),
        (broken_off, "broke off"),
        (failed, "500"),
        (refused("Bearer"), "reports"),
        (refused('Bearer realm="not an address"'), "reports"),
        (refused('Basic realm="x"'), "reports"),
    ],
)
@pytest.mark.parametrize("login", ["", "dXNlcjp3b3Jk"])
def test_registry_is_reported_at_once(
    tmp_path: Path, docker: Path, answer: Answer, reason: str, login: str
) -> None:
    with registry(answer) as address:
        logins = f'"{address}": {{"auth": "{login}"}}' if login else ""
        docker.write_text(f'{{"auths": {{{logins}}}}}')
        with pytest.raises(StokerError, match="can't be fetched") as seen:
            modelpack_registry.pull(f"oci://{address}/a/b:1", tmp_path, lambda _: None)
    assert reason in seen.value.why


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": null}', '{"auths": {"127.0.0.1:1": 1}}'])
def test_damaged_file_of_docker_is_named(tmp_path: Path, docker: Path, content: str) -> None:
    docker.write_text(content)
    with pytest.raises(StokerError) as seen:
        modelpack_registry.pull("oci://127.0.0.1:1/a/b:1", tmp_path, lambda _: None)
    assert "config.json" in seen.value.why
