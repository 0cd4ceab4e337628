"""vLLM in a container on a real Docker: its life, and its failures named from its real log."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
import docker.errors
import pytest
from tests.integration.conftest import Stoker
from tests.support import docker_daemon, vllm_cpu

pytestmark = pytest.mark.docker

NAME = "vllm-server"
CHAT = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
_START_S = 500.0


@pytest.fixture(scope="module")
def volumes(docker_endpoint: str) -> tuple[str, ...]:
    """The image is there, and these folders belong in its containers."""
    return docker_daemon.import_vllm(docker_endpoint)


@pytest.fixture
def up(
    stoker: Stoker,
    docker_endpoint: str,
    volumes: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """``stoker up`` with the tests' daemon and image."""
    monkeypatch.setenv("DOCKER_HOST", docker_endpoint)

    def run(*args: str, model: Path | None = None) -> subprocess.CompletedProcess[str]:
        mounts = [part for volume in volumes for part in ("--volume", volume)]
        return stoker.run(
            *("up", "--port", str(stoker.port), "--offline", "--engine", "vllm", "--context"),
            *("2048", "--image", docker_daemon.VLLM_IMAGE, *mounts, *args),
            str(model or vllm_cpu.installed().model),
            timeout=_START_S,
        )

    yield run
    stoker.run("down")


@pytest.fixture
def client(docker_endpoint: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_endpoint)
    yield client
    client.close()


def is_there(client: docker.DockerClient) -> bool:
    try:
        client.containers.get(NAME)
    except docker.errors.NotFound:
        return False
    return True


def test_life_of_a_container(
    stoker: Stoker,
    up: Callable[..., subprocess.CompletedProcess[str]],
    client: docker.DockerClient,
) -> None:
    began = up("--engine-arg", "enforce-eager=true")
    assert began.returncode == 0, began.stdout + began.stderr
    for phase in ("start engine", "load", "KV cache"):
        assert phase in began.stdout
    assert "Initializing a V1 LLM engine" in stoker.run("logs").stdout
    model = stoker.status()["model"]
    chat = {"model": "smollm2-135m-instruct", **CHAT}
    assert stoker.post("/v1/chat/completions", chat, timeout=120)["choices"]
    assert model == "smollm2-135m-instruct"
    first = client.containers.get(NAME)

    docker_daemon.pause(first)
    assert docker_daemon.wait_for(lambda: "is paused" in (stoker.status()["problem"] or ""), 20)
    first.unpause()
    assert docker_daemon.wait_for(lambda: stoker.status()["problem"] is None, 20)
    assert stoker.post("/v1/chat/completions", chat, timeout=120)["choices"]

    started = first.attrs["State"]["StartedAt"]
    first.kill()
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "restarting", 30)
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "ready", _START_S)
    second = client.containers.get(NAME)
    assert second.attrs["State"]["StartedAt"] != started
    assert stoker.post("/v1/chat/completions", chat, timeout=120)["choices"]

    second.stop()
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "restarting", 30)
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "ready", _START_S)
    client.containers.get(NAME).restart()
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "restarting", 30)
    assert docker_daemon.wait_for(lambda: stoker.status()["status"] == "ready", _START_S)
    assert stoker.post("/v1/chat/completions", chat, timeout=120)["choices"]

    supervisor = stoker.supervisor()
    supervisor.kill()
    supervisor.wait(timeout=10)
    again = up("--engine-arg", "enforce-eager=true")
    assert again.returncode == 0, again.stdout + again.stderr
    assert stoker.post("/v1/chat/completions", chat, timeout=120)["choices"]

    assert stoker.run("down").returncode == 0
    assert not is_there(client)
    assert stoker.status() == {"status": "stopped"}


def test_memory_limit_that_is_too_small_is_named(
    up: Callable[..., subprocess.CompletedProcess[str]], client: docker.DockerClient
) -> None:
    def limit() -> None:
        assert docker_daemon.wait_for(lambda: is_there(client), 60)
        client.containers.get(NAME).update(mem_limit="300m", memswap_limit="300m")

    with ThreadPoolExecutor(1) as pool:
        limited = pool.submit(limit)
        done = up("--engine-arg", "enforce-eager=true")
        limited.result()
    assert done.returncode == 1
    assert "Raise the memory limit of the container" in done.stderr
    assert not is_there(client)


def test_model_that_vllm_can_not_serve_is_named(
    up: Callable[..., subprocess.CompletedProcess[str]],
    client: docker.DockerClient,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "newer"
    shutil.copytree(vllm_cpu.installed().model, folder)
    config = json.loads((folder / "config.json").read_text())
    changed = {**config, "architectures": ["LlamaOfTheFutureForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(changed))
    done = up(model=folder)
    assert done.returncode == 1
    assert "can't serve this architecture" in done.stderr
    assert not is_there(client)


def test_flag_that_vllm_does_not_know_is_named_and_nothing_is_left(
    up: Callable[..., subprocess.CompletedProcess[str]], client: docker.DockerClient
) -> None:
    done = up("--engine-arg", "no-such-flag=1")
    assert done.returncode == 1
    assert "does not know a flag" in done.stderr
    assert "--no-such-flag" in done.stderr
    assert not is_there(client)
