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

LOGIN = "dXNlcjp3b3Jk"
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def registry(answer: Answer) -> Iterator[str]:
    """The address of one that answers each GET so."""

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
        (refused('Basic realm="x"'), "401"),
    ],
)
@pytest.mark.parametrize("login", ["", LOGIN])
def test_registry_is_reported_at_once(
    tmp_path: Path, docker: Path, answer: Answer, reason: str, login: str
) -> None:
    with registry(answer) as address:
        logins = f'"{address}": {{"auth": "{login}"}}' if login else ""
        docker.write_text(f'{{"auths": {{{logins}}}}}')
        with pytest.raises(StokerError, match="can't be fetched") as seen:
            modelpack_registry.pull(f"oci://{address}/a/b:1", tmp_path, lambda _: None)
    assert reason in seen.value.why


def demanding(realm: str, seen: list[str]) -> Answer:
    """A registry, its token service and a blob store in one; ``seen`` are the logins that came."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        login = request.headers.get("Authorization", "")
        seen.append(login)
        if request.path.startswith(("/token", "http")):
            body = b'{"token": "of-the-registry"}'
        elif login != "Bearer of-the-registry":
            refused(f'Bearer realm="{realm}",service="x"')(request)
            return
        else:
            body = b"[]"
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def test_login_is_sent_to_no_other_host(
    tmp_path: Path, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy sees what goes to other hosts."""
    elsewhere: list[str] = []
    with registry(demanding("", elsewhere)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://{proxy}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with registry(demanding("http://token.example/token", [])) as address:
            docker.write_text(f'{{"auths": {{"{address}": {{"auth": "{LOGIN}"}}}}}}')
            with pytest.raises(StokerError) as refusal:
                modelpack_registry.pull(f"oci://{address}/a/b:1", tmp_path, lambda _: None)
    assert "http://token.example/token" in refusal.value.why
    assert elsewhere == []


def test_login_gets_a_token_at_the_registry(tmp_path: Path, docker: Path) -> None:
    seen: list[str] = []
    with (
        registry(demanding("", seen)) as tokens,
        registry(demanding(f"http://{tokens}/token", seen)) as address,
    ):
        docker.write_text(f'{{"auths": {{"{address}": {{"auth": "{LOGIN}"}}}}}}')
        with pytest.raises(StokerError):  # the manifest is an empty list
            modelpack_registry.pull(f"oci://{address}/a/b:1", tmp_path, lambda _: None)
    assert seen == ["", "", f"Basic {LOGIN}", "Bearer of-the-registry"]


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": null}', '{"auths": {"127.0.0.1:1": 1}}'])
def test_damaged_file_of_docker_is_named(tmp_path: Path, docker: Path, content: str) -> None:
    docker.write_text(content)
    with pytest.raises(StokerError) as seen:
        modelpack_registry.pull("oci://127.0.0.1:1/a/b:1", tmp_path, lambda _: None)
    assert "config.json" in seen.value.why
