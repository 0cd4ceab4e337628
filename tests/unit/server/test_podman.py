"""Podman's Docker API takes what it can't do without an error; what it made is read back.

The answers were recorded from Podman 4.3.1 (Debian 12) on its API socket; what varies between
machines is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from tests.support.background_server import BackgroundServer

from stoker.engines import ContainerLaunch
from stoker.errors import StokerError
from stoker.server.docker_client import Containers, ensure

ID = "611904b45213b05b33d53d38a88794bc3fae6652ab31b4a29fb4129e2c2926d9"
LAUNCH = ContainerLaunch(
    "vllm-server", "docker.io/vllm/vllm-openai:v1", ("--model", "m"), inner_port=8000, port=21751
)
#: What Podman answers to every create that it accepts, GPUs and log options or not. ``IpcMode`` is
#: "shareable" for a container in the host's namespace too, so it proves nothing.
HOST_CONFIG: dict[str, Any] = {
    "LogConfig": {"Type": "json-file", "Config": None},
    "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "21751"}]},
    "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
    "IpcMode": "shareable",
    "SecurityOpt": ["no-new-privileges"],
    "ShmSize": 65536000,
    "Devices": [],
    "DeviceRequests": None,
}


class Podman(BackgroundServer):
    """The part of its API that a start needs. ``docker`` is a Docker that grants all instead."""

    def __init__(self, *, docker: bool = False) -> None:
        super().__init__()
        self.asked: dict[str, Any] = {}
        self.done: list[str] = []
        self._docker = docker

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/version", self._describe)
        app.router.add_get("/v1.41/images/{name:.+}/json", self._describe)
        app.router.add_post("/v1.41/containers/create", self._create)
        app.router.add_get("/v1.41/containers/{id}/json", self._inspect)
        app.router.add_post("/v1.41/containers/{id}/start", self._note("start"))
        app.router.add_delete("/v1.41/containers/{id}", self._note("remove"))
        return app

    async def _json(self, body: Any, status: int = 200) -> web.Response:
        return web.json_response(body, status=status)

    async def _describe(self, _: web.Request) -> web.Response:
        return await self._json({"ApiVersion": "1.41", "Id": "sha256:1"})

    async def _create(self, request: web.Request) -> web.Response:
        self.asked = await request.json()
        asked = self.asked["HostConfig"]
        if asked.get("IpcMode") == "host" and asked.get("ShmSize"):
            cause = "cannot set shmsize when running in the {host } IPC Namespace"
            message = f"container create: invalid config provided: {cause}"
            return await self._json({"cause": cause, "message": message, "response": 500}, 500)
        return await self._json({"Id": ID, "Warnings": []}, 201)

    async def _inspect(self, request: web.Request) -> web.Response:
        if not self.asked:
            message = f'no container with name or ID "{request.match_info["id"]}" found'
            return await self._json({"message": message, "response": 404}, 404)
        granted = ("LogConfig", "DeviceRequests") if self._docker else ()
        return await self._json(
            {
                "Id": ID,
                "Name": "/vllm-server",
                "State": {"Status": "running", "ExitCode": 0, "OOMKilled": False, "Error": ""},
                "HostConfig": HOST_CONFIG | {k: self.asked["HostConfig"].get(k) for k in granted},
                "Config": {k: self.asked.get(k) for k in ("Image", "Cmd", "Labels", "Env")},
            }
        )

    def _note(self, what: str) -> Any:
        async def noted(_: web.Request) -> web.Response:
            self.done.append(what)
            return web.Response(status=204)

        return noted


@pytest.fixture
def podman() -> Iterator[Podman]:
    with Podman() as server:
        yield server


def start(server: Podman, launch: ContainerLaunch) -> list[str]:
    reports: list[str] = []
    ensure(Containers(server.url), launch, replace=False, report=reports.append)
    return reports


def test_engine_in_the_hosts_shared_memory_starts_on_podman(podman: Podman) -> None:
    start(podman, LAUNCH)
    assert podman.asked["HostConfig"]["IpcMode"] == "host"
    assert "ShmSize" not in podman.asked["HostConfig"]
    assert podman.done == ["start"]


def test_container_with_shared_memory_of_its_own_gets_the_size(podman: Podman) -> None:
    start(podman, dataclasses.replace(LAUNCH, host_ipc=False))
    assert podman.asked["HostConfig"]["ShmSize"] == 4 * 1024**3
    assert "IpcMode" not in podman.asked["HostConfig"]


def test_container_whose_gpus_were_left_out_is_not_started(podman: Podman) -> None:
    with pytest.raises(StokerError) as caught:
        start(podman, dataclasses.replace(LAUNCH, gpus=True))
    assert "would have no GPU" in caught.value.what
    assert "nvidia-ctk cdi generate" in caught.value.fix
    assert "--device=nvidia.com/gpu=all" in caught.value.fix
    assert podman.done == ["remove"]


def test_log_without_a_confirmed_limit_is_reported(podman: Podman) -> None:
    assert any("confirms no limit on its log" in line for line in start(podman, LAUNCH))


def test_runtime_that_grants_all_is_not_complained_about() -> None:
    with Podman(docker=True) as docker:
        assert start(docker, dataclasses.replace(LAUNCH, gpus=True)) == []
        assert docker.done == ["start"]
