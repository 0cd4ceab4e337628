"""A user's machine, as far as the doctor reads it: a home, an editor, a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

# Imported here because it reads HF_HUB_OFFLINE on import, which must not happen in a test.
from huggingface_hub import constants

#: The part of an editor's command line that Stoker uses: it lists and installs extensions.
_COMMAND = """#!/bin/sh
list="{list}"
case "$1" in
  --version) echo 1.139.1; echo 53c2f32; echo x64 ;;
  --list-extensions) cat "$list" ;;
  --install-extension) test -f "$2" && echo stoker.stoker@0.1.0 > "$list" ;;
  --uninstall-extension) : > "$list" ;;
esac
"""


@dataclass
class Machine:
    """A home folder with nothing of Stoker in it, and the only folder on PATH."""

    home: Path
    programs: Path

    @property
    def settings(self) -> Path:
        return self.home / ".config/Code/User/settings.json"

    @property
    def extensions(self) -> Path:
        return self.home / "extensions.txt"

    def install_code(self, *extensions: str) -> None:
        """A ``code`` that answers as VS Code's does."""
        self.extensions.write_text("".join(f"{name}\n" for name in extensions))
        command = self.programs / "code"
        command.write_text(_COMMAND.format(list=self.extensions))
        command.chmod(0o755)

    def write_settings(self, values: dict[str, Any]) -> None:
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        self.settings.write_text(json.dumps(values))


@pytest.fixture
def machine(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cat", "sh", "test"):
        if (found := Path("/bin") / name).exists():
            (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setenv("COLUMNS", "80")
    proxies = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for variable in ("HF_TOKEN", "HF_ENDPOINT", *proxies, *(name.upper() for name in proxies)):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(home)
    return Machine(home, programs)


@dataclass
class Server:
    """A server with the given answers: path -> (status, body)."""

    port: int
    answers: dict[str, tuple[int, object]]
    headers: dict[str, str] = field(default_factory=dict)
    authorizations: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


Serve = Callable[..., Server]
ONE_MODEL = {"object": "list", "data": [{"id": "my-model", "max_model_len": 65536}]}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve({"/v1/models": (200, {...})})`` starts a server on its own port."""
    running: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, tuple[int, object]] | None = None) -> Server:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.authorizations.append(self.headers["Authorization"])
                status, body = server.answers.get(self.path, (404, {}))
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response_only(status)
                date = {"Date": self.date_time_string(), "Content-Length": str(len(text))}
                for name, value in {**date, **server.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_arguments: Any) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server = Server(http.server_port, answers or {"/v1/models": (200, ONE_MODEL)})
        running.append(http)
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for http in running:
        http.shutdown()
        http.server_close()
