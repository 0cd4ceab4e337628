"""llama.cpp in a container on a real Docker: its own parser reads the command line of a plan."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from tests.integration.conftest import Stoker
from tests.support import docker_daemon
from tests.support.docker_daemon import BASE_IMAGE, LLAMA_IMAGE

from stoker.engines import ContainerLaunch
from stoker.engines.placement import owning_groups
from stoker.server import ports
from stoker.server.docker_client import Containers

pytestmark = pytest.mark.docker

NAME = "llama-cpp-server"
CHAT = {
    "messages": [{"role": "user", "content": "Say hello."}],
    "max_tokens": 8,
}


@pytest.fixture
def up(
    stoker: Stoker, docker_endpoint: str, smollm2: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """``stoker up`` with the tests' daemon and image."""
    monkeypatch.setenv("DOCKER_HOST", docker_endpoint)
    volumes = docker_daemon.import_llama(docker_endpoint)
    mounts = [part for volume in volumes for part in ("--volume", volume)]

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return stoker.run(
            *("up", "--port", str(stoker.port), "--offline", "--engine", "llama.cpp"),
            *("--context", "2048", "--image", LLAMA_IMAGE, *mounts, *args, smollm2),
            timeout=200,
        )

    yield run
    stoker.run("down")


@pytest.fixture
def client(docker_endpoint: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_endpoint)
    yield client
    for container in client.containers.list(all=True):
        container.remove(force=True)
    client.close()


def props(client: docker.DockerClient, key: str) -> dict[str, object]:
    """What the engine in the container reports of itself, under that key."""
    container = client.containers.get(NAME)
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    url = f"http://{network['IPAddress']}:8080/props"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def test_life_of_a_container(
    stoker: Stoker,
    up: Callable[..., subprocess.CompletedProcess[str]],
    client: docker.DockerClient,
    smollm2: str,
) -> None:
    began = up()
    assert began.returncode == 0, began.stdout + began.stderr + stoker.run("logs").stdout
    chat = {"model": stoker.status()["model"], **CHAT}
    assert stoker.post("/v1/chat/completions", chat)["choices"][0]["message"]["content"]
    container = client.containers.get(NAME)
    settings = container.attrs["HostConfig"]
    model = Path(smollm2)
    assert f"{model.resolve()}:/models/{model.name}:ro" in settings["Binds"]
    assert not settings["DeviceRequests"] and not settings["Devices"]  # this machine has no GPU

    variables = dict(text.split("=", 1) for text in container.attrs["Config"]["Env"])
    key = variables["LLAMA_API_KEY"]
    assert key not in " ".join(container.attrs["Config"]["Cmd"])
    assert props(client, key)["total_slots"] == 2
    with pytest.raises(urllib.error.HTTPError, match="401"):
        props(client, "another")

    container.kill()
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "restarting", 30)
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "ready", 60)
    assert stoker.post("/v1/chat/completions", chat)["choices"]

    assert stoker.run("down").returncode == 0
    assert not client.containers.list(all=True)


def test_arguments_that_the_user_sets_reach_llama_cpp(
    up: Callable[..., subprocess.CompletedProcess[str]], client: docker.DockerClient
) -> None:
    began = up("--parallel", "3", "--engine-arg", "cache_type_k=8", "--engine-arg", "metrics=true")
    assert began.returncode == 0, began.stdout + began.stderr
    command = client.containers.get(NAME).attrs["Config"]["Cmd"]
    assert command[command.index("--cache-type-k") + 1] == "q8_0"
    assert "--metrics" in command
    assert command[command.index("--ctx-size") + 1] == str(3 * 2048)


def test_an_argument_that_llama_cpp_does_not_know_is_named(
    up: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = up("--engine-arg", "no-such-flag=1")
    assert done.returncode == 1
    assert "--no-such-flag" in done.stdout + done.stderr


def test_a_container_is_given_the_devices_of_a_gpu(
    docker_endpoint: str, client: docker.DockerClient
) -> None:
    """As AMD's and Intel's: one device, a folder of devices, and the groups that own them."""
    folder, node = Path("/dev/stoker-test-dri"), Path("/dev/stoker-test-kfd")
    folder.mkdir()
    try:
        for path, group in ((node, 40123), (folder / "renderD128", 40124)):
            os.mknod(path, 0o660 | stat.S_IFCHR, os.makedev(1, 3))  # what /dev/null is
            os.chown(path, 0, group)
        devices = (str(node), str(folder))
        launch = ContainerLaunch(
            name=NAME,
            image=BASE_IMAGE,
            command=("sleep", "60"),
            inner_port=1,
            port=ports.any_free(),
            devices=devices,
            groups=owning_groups(devices),
        )
        assert Containers(docker_endpoint).create(launch).has_gpus
        container = client.containers.get(NAME)
        wrote = container.exec_run(["sh", "-c", f"echo x >{node} && echo x >{folder}/renderD128"])
        assert wrote.exit_code == 0, wrote.output
        assert {"40123", "40124"} <= set(container.exec_run(["id", "-G"]).output.decode().split())
    finally:
        node.unlink(missing_ok=True)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
