"""Docker and Podman are asked over real sockets, and say why they cannot be used."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stoker.host.container_runtimes import Surroundings, docker, podman

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")
NOBODY = 65534


class Daemon:
    """An HTTP server on a Unix socket that gives each path its recorded answer."""

    def __init__(self, path: Path, answers: dict[str, Any], status: int = 200) -> None:
        self.status = status
        path.parent.mkdir(parents=True, exist_ok=True)
        self.answers = answers
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(path))
        self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                path = connection.recv(4096).split(b" ")[1].decode()
                body = self.answers[path]
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(text)}\r\n\r\n"
                connection.sendall(head.encode() + text)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path: the name of a Unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def daemon() -> Iterator[Callable[..., Daemon]]:
    started: list[Daemon] = []

    def start(path: Path, answers: dict[str, Any], status: int = 200) -> Daemon:
        started.append(Daemon(path, answers, status))
        return started[-1]

    yield start
    for one in started:
        one.close()


def at(root: Path, installed: bool = True, **env: str) -> Surroundings:
    def which(program: str) -> str | None:
        return f"/usr/bin/{program}" if installed else None

    return Surroundings(env, root / "home", root, which)


def test_reads_a_reachable_docker(
    root: Path,
    daemon: Callable[..., Daemon],
    recording: Callable[[str], dict[str, Any]],
) -> None:
    recorded = recording("docker-info")
    path = root / "var/run/docker.sock"
    daemon(path, {"/info": recorded["info"], "/version": recorded["version"]})
    found = docker(at(root))
    assert (found.reachable, found.version, found.problem) == (True, "28.2.2", None)
    assert (found.nvidia, found.rootless, found.desktop) == (True, True, False)
    assert found.endpoint == f"unix://{path}"


def test_docker_desktop_is_recognised(root: Path, daemon: Callable[..., Daemon]) -> None:
    info: dict[str, Any] = {
        "OperatingSystem": "Docker Desktop",
        "SecurityOptions": None,
        "Runtimes": {"runc": {}},
    }
    daemon(root / "home/.docker/run/docker.sock", {"/info": info, "/version": {"Version": "29"}})
    found = docker(at(root))
    assert (found.desktop, found.rootless, found.nvidia) == (True, False, False)


@pytest.mark.parametrize(
    ("info", "spec", "nvidia"),
    [
        ({"CDISpecDirs": ["/etc/cdi"]}, "etc/cdi/nvidia.yaml", True),
        ({"CDISpecDirs": []}, "etc/cdi/nvidia.yaml", False),
        ({"CDISpecDirs": ["/etc/cdi"]}, "etc/cdi/intel.yaml", False),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, "none", True),
    ],
)
def test_docker_gives_gpus_through_cdi(
    info: dict[str, Any], spec: str, nvidia: bool, root: Path, daemon: Callable[..., Daemon]
) -> None:
    (root / spec).parent.mkdir(parents=True, exist_ok=True)
    (root / spec).write_text("cdiVersion: 0.6.0\n")
    daemon(root / "var/run/docker.sock", {"/info": info, "/version": {}})
    assert docker(at(root)).nvidia is nvidia


def test_reads_a_rootless_podman(root: Path, daemon: Callable[..., Daemon]) -> None:
    path = root / "u/podman/podman.sock"
    daemon(path, {"/info": {"Rootless": True}, "/version": {"Version": "5.4.0"}})
    found = podman(at(root, XDG_RUNTIME_DIR=str(root / "u")))
    assert (found.name, found.version, found.rootless) == ("podman", "5.4.0", True)


def test_the_socket_that_the_environment_names_is_the_only_one_asked(
    root: Path, daemon: Callable[..., Daemon]
) -> None:
    daemon(root / "var/run/docker.sock", {"/info": {}, "/version": {"Version": "1"}})
    daemon(root / "mine.sock", {"/info": {}, "/version": {"Version": "2"}})
    named = docker(at(root, DOCKER_HOST=f"unix://{root}/mine.sock"))
    missing = docker(at(root, DOCKER_HOST=f"unix://{root}/gone.sock"))
    assert (named.version, missing.reachable) == ("2", False)


def test_a_dead_socket_does_not_hide_a_living_one(
    root: Path, daemon: Callable[..., Daemon]
) -> None:
    dead_socket(root / "var/run/docker.sock")
    daemon(root / "u/docker.sock", {"/info": {}, "/version": {"Version": "28"}})
    assert docker(at(root, XDG_RUNTIME_DIR=str(root / "u"))).version == "28"


def dead_socket(path: Path) -> None:
    """What a daemon leaves behind that was killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(str(path))


def test_not_installed_and_not_running_are_distinguished(root: Path) -> None:
    assert docker(at(root, installed=False)).problem == "Docker is not installed."
    assert "not running" in (docker(at(root)).problem or "")
    assert podman(at(root, installed=False)).problem == "Podman is not installed."
    assert "podman.socket" in (podman(at(root)).problem or "")


def test_a_socket_on_which_nothing_listens_means_the_daemon_is_down(root: Path) -> None:
    dead_socket(root / "var/run/docker.sock")
    assert "daemon is not running" in (docker(at(root)).problem or "")


def test_a_socket_one_may_not_use_names_the_group_to_join(
    root: Path, daemon: Callable[..., Daemon]
) -> None:
    daemon(root / "var/run/docker.sock", {"/info": {}, "/version": {}})
    (root / "var").chmod(0)
    try:
        found = _as_an_ordinary_user(lambda: docker(at(root)))
    finally:
        (root / "var").chmod(0o700)
    assert found.reachable is False
    assert "`docker` group" in (found.problem or "")


@pytest.mark.parametrize("answer", [b"not json", b"[]", b'"text"'])
def test_an_answer_that_is_no_object_is_a_problem_not_an_error(
    answer: bytes, root: Path, daemon: Callable[..., Daemon]
) -> None:
    daemon(root / "var/run/docker.sock", {"/info": answer, "/version": answer})
    found = docker(at(root))
    assert not found.reachable
    assert found.problem


def test_a_daemon_that_answers_with_an_error_is_not_reachable(
    root: Path, daemon: Callable[..., Daemon]
) -> None:
    refusal = {"message": "authorization denied by plugin"}
    daemon(root / "var/run/docker.sock", {"/info": refusal, "/version": refusal}, status=403)
    found = docker(at(root))
    assert not found.reachable
    assert "403" in (found.problem or "")


def test_a_daemon_that_sends_nothing_is_given_up_on(root: Path) -> None:
    impatient = replace(at(root), answer_within_s=0.05)
    path = root / "var/run/docker.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(path))
        silent.listen()
        assert "did not answer" in (docker(impatient).problem or "")


def test_another_machines_docker_is_not_asked(root: Path) -> None:
    found = docker(at(root, DOCKER_HOST="tcp://10.0.0.1:2375"))
    assert "another machine" in (found.problem or "")


def _as_an_ordinary_user(act: Callable[[], Any]) -> Any:
    if os.geteuid() != 0:
        return act()
    os.seteuid(NOBODY)
    try:
        return act()
    finally:
        os.seteuid(0)
