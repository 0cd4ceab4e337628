"""Containers are found, adopted, started again, replaced and left alone, on a real Docker."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest
from tests.support import docker_daemon
from tests.support.docker_daemon import BASE_IMAGE

from stoker.engines import ContainerLaunch
from stoker.engines.container_spec import OFFLINE_NETWORK
from stoker.errors import StokerError
from stoker.server import container_lines, ports
from stoker.server.diagnosis import diagnose
from stoker.server.docker_client import Containers, differences, ensure

pytestmark = pytest.mark.docker

NAME = "vllm-server"
SERVE = ("python3", "-u", "-m", "http.server", "8000", "--directory", "/etc")


@pytest.fixture
def containers(docker_endpoint: str) -> Containers:
    return Containers(docker_endpoint)


@pytest.fixture(autouse=True)
def client(docker_endpoint: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_endpoint)
    yield client
    for container in client.containers.list(all=True):
        container.remove(force=True)
    client.close()


@pytest.fixture
def launch() -> ContainerLaunch:
    return ContainerLaunch(
        name=NAME,
        image=BASE_IMAGE,
        command=SERVE,
        inner_port=8000,
        port=ports.any_free(),
        env={"VLLM_API_KEY": "a-secret"},
    )


def quiet(_: str) -> None:
    pass


def raised(call: Callable[[], object]) -> StokerError:
    with pytest.raises(StokerError) as caught:
        call()
    return caught.value


def answers(port: int, host: str = "127.0.0.1") -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            time.sleep(0.1)
    return False


def settings(client: docker.DockerClient, name: str = NAME) -> dict[str, Any]:
    attrs: dict[str, Any] = client.containers.get(name).attrs
    return attrs


def test_container_is_made_as_the_dry_run_prints(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    found = ensure(containers, launch, replace=False, report=quiet)
    assert found.ours
    assert found.status == "running"
    assert found.address == ("127.0.0.1", launch.port)
    assert answers(launch.port)
    host = settings(client)["HostConfig"]
    assert host["IpcMode"] == "host"
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "20m", "max-file": "3"}
    assert host["PortBindings"]["8000/tcp"][0]["HostIp"] == "127.0.0.1"
    assert "no-new-privileges" in host["SecurityOpt"]
    assert not host["Privileged"]
    assert not host["CapAdd"]


def test_secret_is_in_the_environment_and_in_no_command_line(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    found = ensure(containers, launch, replace=False, report=quiet)
    assert "VLLM_API_KEY=a-secret" in found.environment
    assert "a-secret" not in " ".join(launch.argv)
    top = client.containers.get(NAME).top()
    assert "a-secret" not in str(top)
    assert "a-secret" not in repr(launch)


#: Prints what a program inside reaches: an address of the internet, and a name.
LOOKS_OUT = """
import socket
for look in (
    lambda: socket.create_connection(("1.1.1.1", 443), 2),
    lambda: socket.getaddrinfo("example.com", 443),
):
    try:
        look()
        print("reached")
    except OSError:
        print("nothing")
"""


def test_container_that_needs_no_network_has_no_way_out_and_is_reached_from_here(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    offline = dataclasses.replace(launch, offline=True)
    found = ensure(containers, offline, replace=False, report=quiet)
    assert found.address is not None and found.address[0] != "127.0.0.1"
    assert answers(found.address[1], found.address[0])
    assert not settings(client)["NetworkSettings"]["Ports"]
    looked = client.containers.get(NAME).exec_run(["python3", "-c", LOOKS_OUT])
    assert looked.output.split() == [b"nothing", b"nothing"]

    same = ensure(containers, offline, replace=False, report=quiet)
    assert (same.id, same.address) == (found.id, found.address)
    client.containers.get(NAME).restart(timeout=1)
    again = containers.find(NAME)
    assert again is not None and again.address is not None
    assert answers(again.address[1], again.address[0])

    assert containers.remove(NAME)
    assert not client.networks.list(names=[OFFLINE_NETWORK])


def test_a_network_of_that_name_that_leads_outside_is_not_used(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    stranger = client.networks.create(OFFLINE_NETWORK)
    try:
        offline = dataclasses.replace(launch, offline=True)
        refused = raised(lambda: ensure(containers, offline, replace=False, report=quiet))
        assert "leads outside" in refused.what
        assert containers.find(NAME) is None
    finally:
        stranger.remove()


def test_private_ipc_gives_the_container_the_shared_memory_that_it_asks_for(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    private = dataclasses.replace(launch, host_ipc=False)
    ensure(containers, private, replace=False, report=quiet)
    size = client.containers.get(NAME).exec_run(["df", "-k", "/dev/shm"]).output.decode()
    assert str(4 * 1024 * 1024) in size


def test_container_with_the_same_plan_is_adopted(
    containers: Containers, launch: ContainerLaunch
) -> None:
    first = ensure(containers, launch, replace=False, report=quiet)
    other_port = dataclasses.replace(launch, port=ports.any_free(), env={"VLLM_API_KEY": "b"})
    second = ensure(containers, other_port, replace=False, report=quiet)
    assert (second.id, second.address) == (first.id, first.address)


def test_container_with_another_plan_is_named_with_the_difference_and_kept(
    containers: Containers, launch: ContainerLaunch
) -> None:
    first = ensure(containers, launch, replace=False, report=quiet)
    other = dataclasses.replace(launch, command=(*SERVE[:-1], "/usr"))
    error = raised(lambda: ensure(containers, other, replace=False, report=quiet))
    assert "--directory /etc -> /usr" in error.why
    assert "--replace" in error.fix
    kept = containers.find(NAME)
    assert kept is not None
    assert (kept.id, kept.status) == (first.id, "running")


def test_container_with_another_plan_is_replaced_on_request(
    containers: Containers, launch: ContainerLaunch
) -> None:
    first = ensure(containers, launch, replace=False, report=quiet)
    other = dataclasses.replace(launch, command=(*SERVE[:-1], "/usr"), port=ports.any_free())
    second = ensure(containers, other, replace=True, report=quiet)
    assert second.id != first.id
    assert answers(other.port)
    assert differences(second, other) == ["mounts or container flags"]


def test_strangers_container_is_named_and_never_touched(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    stranger = client.containers.run(BASE_IMAGE, ["sleep", "600"], name=NAME, detach=True)
    for replace in (False, True):
        error = raised(partial(ensure, containers, launch, replace=replace, report=quiet))
        assert NAME in error.what
        assert "docker rename" in error.fix
    assert not containers.remove(NAME)
    stranger.reload()
    assert stranger.status == "running"


def test_exited_container_is_replaced_with_why_it_exited(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    first = ensure(containers, launch, replace=False, report=quiet)
    client.containers.get(NAME).stop(timeout=0)
    printed: list[str] = []
    second = ensure(containers, launch, replace=False, report=printed.append)
    assert second.id != first.id
    assert second.status == "running"
    assert printed == [f"container {NAME} is replaced: it was ended by signal 9"]


def test_paused_container_goes_on(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    ensure(containers, launch, replace=False, report=quiet)
    docker_daemon.pause(client.containers.get(NAME))
    assert ensure(containers, launch, replace=False, report=quiet).status == "running"


def test_paused_container_can_be_stopped(
    containers: Containers, client: docker.DockerClient, launch: ContainerLaunch
) -> None:
    ensure(containers, launch, replace=False, report=quiet)
    docker_daemon.pause(client.containers.get(NAME))
    containers.stop(NAME, grace_s=1)
    found = containers.find(NAME)
    assert found is not None
    assert found.status == "exited"


def test_taken_port_is_named_and_leaves_no_container(
    containers: Containers, launch: ContainerLaunch
) -> None:
    with socket.create_server(("127.0.0.1", launch.port)):
        error = raised(lambda: ensure(containers, launch, replace=False, report=quiet))
    assert "The port is taken" in error.why
    assert containers.find(NAME) is None


def test_gpu_without_the_container_toolkit_is_explained(
    containers: Containers, launch: ContainerLaunch
) -> None:
    with_gpu = dataclasses.replace(launch, gpus=True)
    error = raised(lambda: ensure(containers, with_gpu, replace=False, report=quiet))
    assert "can't give the container a GPU" in error.why
    assert "nvidia-ctk runtime configure" in error.fix
    assert containers.find(NAME) is None


def test_image_that_can_not_be_pulled_is_explained(
    containers: Containers, launch: ContainerLaunch
) -> None:
    # A registry on this machine that is not there: the same refusal with and without a network.
    absent = dataclasses.replace(launch, image="127.0.0.1:9/nobody/nothing:v1")
    error = raised(lambda: ensure(containers, absent, replace=False, report=quiet))
    assert error.what == "The image 127.0.0.1:9/nobody/nothing:v1 can't be pulled."
    assert "connection refused" in error.why


def test_program_that_the_image_lacks_is_explained(
    containers: Containers, launch: ContainerLaunch
) -> None:
    wrong = dataclasses.replace(launch, command=("no-such-program",))
    error = raised(lambda: ensure(containers, wrong, replace=False, report=quiet))
    assert "no-such-program" in error.why
    assert containers.find(NAME) is None


def test_memory_limit_shows_in_how_it_ended(
    containers: Containers, client: docker.DockerClient
) -> None:
    container = client.containers.run(
        BASE_IMAGE,
        ["python3", "-c", "x = bytearray(300 << 20)"],
        name="greedy",
        mem_limit="40m",
        memswap_limit="40m",
        detach=True,
    )
    container.wait()
    found = containers.find("greedy")
    assert found is not None
    assert found.how_it_ended == "it used more memory than its limit and was killed"


def test_log_of_a_container_can_be_read_and_explained(
    containers: Containers,
    client: docker.DockerClient,
    docker_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = "print('one'); print('RuntimeError: Failed to infer device type')"
    client.containers.run(BASE_IMAGE, ["python3", "-c", script], name="said", detach=True).wait()
    assert b"".join(containers.log("said")).splitlines() == [
        b"one",
        b"RuntimeError: Failed to infer device type",
    ]
    monkeypatch.setenv("DOCKER_HOST", docker_endpoint)
    found = diagnose(container_lines("said"))
    assert found is not None
    assert (found.id, found.line_number) == ("no-gpu-visible", 2)
    assert "no container called nobody" in raised(lambda: list(containers.log("nobody"))).what


def test_daemon_that_is_not_there_is_explained() -> None:
    error = raised(lambda: Containers("unix:///nonexistent/docker.sock").find("x"))
    assert "does not run" in error.why
    assert "systemctl start docker" in error.fix


def test_disk_that_is_full_is_explained(tmp_path: Path, launch: ContainerLaunch) -> None:
    # Docker's folder on a disk that holds the image, and then nothing more.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", tmp_path], check=True)
    try:
        with docker_daemon.running(tmp_path) as endpoint:
            docker_daemon.import_base(endpoint)
            with contextlib.suppress(OSError), (tmp_path / "filler").open("wb", 0) as filler:
                while True:
                    filler.write(bytes(4096))
            error = raised(
                lambda: ensure(Containers(endpoint), launch, replace=False, report=quiet)
            )
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)
    assert "The disk is full" in error.why
    assert "Free some room" in error.fix
