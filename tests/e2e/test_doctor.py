"""``stoker doctor --fix`` with a real editor: what it reads, installs and sets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.vscode

MODELS = {"object": "list", "data": [{"id": "my-model", "max_model_len": 65536}]}


@pytest.fixture
def environment(code_server: Path, tmp_path: Path) -> dict[str, str]:
    """An empty home, and code-server's command on PATH."""
    command = tmp_path / "bin/code-server"
    command.parent.mkdir()
    script = code_server / "code-server/node_modules/code-server/out/node/entry.js"
    command.write_text(f'#!/bin/sh\nexec "{code_server}/bin/node" "{script}" "$@"\n')
    command.chmod(0o755)
    (tmp_path / "home").mkdir()
    mine = {
        "HOME": str(tmp_path / "home"),
        "STOKER_HOME": str(tmp_path / "stoker"),
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }
    return {k: v for k, v in os.environ.items() if not k.startswith("XDG_")} | mine


@pytest.fixture
def server() -> Iterator[str]:
    """An endpoint that lists one model with a long context."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/v1/models" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(MODELS).encode())

        def log_message(self, *_arguments: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def test_a_real_editor_is_read_fixed_and_given_back(
    environment: dict[str, str], server: str, tmp_path: Path
) -> None:
    def stoker(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "stoker", *arguments]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    def found(*arguments: str) -> dict[str, str]:
        links = json.loads(stoker("doctor", "--json", *arguments).stdout)["links"]
        return {f["id"]: f["what"] for link in links for f in link["findings"]}

    before = found("--endpoint", server)
    assert before["editor.ok"] == "code-server 1.139.1."
    assert "extension.missing" in before
    assert "setting.missing" in before
    mended = stoker("doctor", "--endpoint", server, "--fix", "--yes")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    after = found()
    assert after["extension.ok"] == "code-server has version 0.1.0."
    assert server in after["setting.ok"]
    assert stoker("code", "--remove").returncode == 0
    assert {"extension.missing", "setting.missing"} <= set(found("--endpoint", server))
