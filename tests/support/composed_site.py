"""A folder that ``stoker deploy compose`` wrote, run by Docker Compose with images made here.

No image can be pulled: each name in the files is given to an image of Debian's packages, or to the
tests' own vLLM. All that is added to the folder is an override file, which mounts vLLM, and wheels.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from tests.support import deployment_tools, docker_daemon

from stoker.deploy.site import NGINX, POSTGRES, PYTHON, REDIS, ROUTER_VERSION
from stoker.engines.vllm.vllm_launch import CPU_IMAGE

_ROOT = Path(__file__).parents[2]
_IMAGES = Path(__file__).parents[1] / "fixtures" / "site_images"
#: The Python of Debian 12, which the image of gateways and routers has here.
_PYTHON_VERSION = "3.11"
#: pip looks for what this machine's Python needs; Debian's 3.11.2 needs it too.
_FOR_OLDER_PYTHON = "async-timeout"
_START_S = 600.0


def import_images(endpoint: str) -> Sequence[str]:
    """Every image of a site, under the names in its files; the folders that replicas mount."""
    mounts = docker_daemon.import_vllm(endpoint)
    docker_daemon.import_site(endpoint)
    with closing(docker.DockerClient(base_url=endpoint, timeout=300)) as client:
        client.images.get(docker_daemon.VLLM_IMAGE).tag(CPU_IMAGE)
        named = {"python": PYTHON, "postgres": POSTGRES, "redis": REDIS, "nginx": NGINX}
        for folder, name in named.items():
            client.images.build(path=str(_IMAGES / folder), tag=name, rm=True)
    return mounts


def collect_wheels(folder: Path) -> None:
    """Stoker from this checkout, vllm-router, and what both need, to build without a network."""
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, _ROOT], check=True)
    stoker = next(folder.glob("stoker-*.whl"))
    wanted = [f"{stoker}[teams]", f"vllm-router=={ROUTER_VERSION}", _FOR_OLDER_PYTHON]
    target = ["--only-binary=:all:", "--python-version", _PYTHON_VERSION]
    known = ["-c", str(_ROOT / "constraints.txt")]
    subprocess.run([*pip, "download", "-d", folder, *known, *target, *wanted], check=True)


@dataclass(frozen=True)
class ComposedSite:
    """The folder, and the daemon that runs it."""

    folder: Path
    port: int
    docker_endpoint: str

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """A key that the gateways accept."""
        return (self.folder / "secrets/prometheus.key").read_text()

    def write(self, plan: Path, wheels: Path, mounts: Sequence[str]) -> None:
        """Write the files for a plan, over earlier ones, and what this machine needs beside."""
        self._stoker(
            *("deploy", "compose", "--from", str(plan), "--replicas", "2", "--replace"),
            *("--port", str(self.port), "--no-monitoring", "-o", str(self.folder)),
        )
        for wheel in wheels.glob("*.whl"):
            (self.folder / "image/wheels" / wheel.name).unlink(missing_ok=True)
            os.link(wheel, self.folder / "image/wheels" / wheel.name)
        recipe = self.folder / "image/Containerfile"
        recipe.write_text(recipe.read_text().replace("pip install", "pip install --no-index"))
        lines = "".join(f"      - {mount}\n" for mount in mounts)
        replicas = "".join(f"  replica-{n}:\n    volumes:\n{lines}" for n in (1, 2))
        (self.folder / "compose.override.yaml").write_text(f"services:\n{replicas}")

    def run(self, *command: str) -> str:
        """Run a command as a person in the folder would; what it prints."""
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}"
        return done.stdout

    def environment(self) -> dict[str, str]:
        """With the tests' daemon, and Compose 2 as Docker's plugin."""
        plugins = self.folder.with_name("docker-configuration") / "cli-plugins"
        if not plugins.exists():
            plugins.mkdir(parents=True)
            (plugins / "docker-compose").symlink_to(deployment_tools.compose_2())
        return {
            **os.environ,
            "DOCKER_HOST": self.docker_endpoint,
            "DOCKER_CONFIG": str(plugins.parent),
        }

    def await_healthy(self) -> None:
        """Wait until every service is healthy, and a gateway lists a model."""
        deadline = time.monotonic() + _START_S
        while not (self._all_healthy() and self.models()):
            assert time.monotonic() < deadline, self.run("docker", "compose", "ps", "-a")
            time.sleep(1)

    def models(self) -> set[str]:
        """What it lists; nothing while it does not answer."""
        head = {"Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"{self.endpoint}/v1/models", headers=head)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return {row["id"] for row in json.load(answer)["data"]}
        except OSError:
            return set()

    def kill(self, service: str) -> None:
        """End its first process without a chance to do anything, as a crash does.

        ``docker kill`` would do it on behalf of a person, after which Docker starts nothing again.
        """
        os.kill(self._state(service)["Pid"], signal.SIGKILL)

    def is_healthy(self, service: str) -> bool:
        """Whether Docker's check of it succeeds."""
        return bool(self._state(service).get("Health", {}).get("Status") == "healthy")

    def restarts(self, service: str) -> int:
        """How often Docker has started it again."""
        return int(self._attributes(service)["RestartCount"])

    def objects(self) -> list[str]:
        """The containers and networks that there are of the site."""
        with closing(docker.DockerClient(base_url=self.docker_endpoint)) as client:
            label = {"label": f"com.docker.compose.project={self.folder.name}"}
            found = client.containers.list(all=True, filters=label)
            return [thing.name for thing in [*found, *client.networks.list(filters=label)]]

    def _all_healthy(self) -> bool:
        services = self.run("docker", "compose", "config", "--services").split()
        return all(self.is_healthy(service) for service in services)

    def _state(self, service: str) -> dict[str, Any]:
        state: dict[str, Any] = self._attributes(service)["State"]
        return state

    def _attributes(self, service: str) -> dict[str, Any]:
        with closing(docker.DockerClient(base_url=self.docker_endpoint)) as client:
            attributes: dict[str, Any] = client.containers.get(
                f"{self.folder.name}-{service}-1"
            ).attrs
            return attributes

    def _stoker(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "stoker", *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
