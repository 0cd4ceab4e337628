"""Fixtures of the tests with real engines: a separate home, and the real command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support import docker_daemon, real_models
from tests.support.one_layer import one_layer_gguf

from stoker.server.ports import any_free

# As Stoker starts llama.cpp: the tests' in-process servers share the cores with everything else.
# It must be set before the library is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@dataclass(frozen=True)
class Stoker:
    """The command, with its own home and port."""

    home: Path
    port: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *args: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stoker", *args],
            env={**os.environ, "STOKER_HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def up(self, *args: str) -> dict[str, Any]:
        done = self.run("up", "--port", str(self.port), "--offline", "--json", *args)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def status(self) -> dict[str, Any]:
        done = self.run("status", "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def engine(self) -> psutil.Process:
        return psutil.Process(self.status()["engine_pid"])

    def supervisor(self) -> psutil.Process:
        return psutil.Process(self.status()["supervisor_pid"])

    def post(self, path: str, body: dict[str, Any], timeout: float = 60) -> dict[str, Any]:
        request = urllib.request.Request(
            self.endpoint + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def stream(self, body: dict[str, Any], *headers: str) -> socket.socket:
        """Send a streamed chat over a socket of its own, so that a test can leave in the middle."""
        return self.send({**body, "stream": True}, *headers)

    def send(
        self, body: dict[str, Any], *headers: str, path: str = "/v1/chat/completions"
    ) -> socket.socket:
        """Send a request over a socket of its own."""
        payload = json.dumps(body).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        head = (
            f"POST {path} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(payload)}",
            "Connection: close",
            *headers,
        )
        connection.sendall("\r\n".join([*head, "", ""]).encode() + payload)
        return connection


@contextmanager
def at_home(folder: Path) -> Iterator[Stoker]:
    """A ``stoker`` that sees the user's downloaded models and leaves nothing running."""
    home = folder / "home"
    home.mkdir()
    real_models.share_cache(home / "cache")
    command = Stoker(home, any_free())
    try:
        yield command
    finally:
        command.run("down")


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    """A ``stoker`` for one test."""
    with at_home(tmp_path) as command:
        yield command


@pytest.fixture(scope="session")
def smollm2() -> str:
    return str(real_models.smollm2())


@pytest.fixture(scope="session")
def qwen() -> Path:
    return real_models.qwen()


@pytest.fixture(scope="session")
def quick_smollm2(smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One layer of a model whose template has no tools: the gateway writes them into the prompt."""
    return str(one_layer_gguf(Path(smollm2), tmp_path_factory.mktemp("smollm2")))


@pytest.fixture(scope="session")
def quick_qwen(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One layer of a model with tools of its own. Its answers make no sense."""
    return str(one_layer_gguf(qwen, tmp_path_factory.mktemp("qwen")))


@pytest.fixture(scope="session")
def docker_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Docker daemon for the tests alone, with the base image."""
    with docker_daemon.running(tmp_path_factory.mktemp("docker")) as endpoint:
        docker_daemon.import_base(endpoint)
        yield endpoint
