"""A container in which systemd is the first process: a machine that a site is installed on.

It has no network, and the packages that ``docker_daemon.import_site`` puts into its image.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.models.containers import Container
from tests.support import docker_daemon

_BOOT_S = 60.0
#: systemd's own order to shut down (systemd(1), "SIGNALS").
_SHUT_DOWN = "SIGRTMIN+3"
#: Redis' unit wants a user namespace and more open files: a container need not be able to.
_ADAPT_REDIS = """
folder=/etc/systemd/system/redis-server.service.d
mkdir -p $folder
printf '[Service]\nPrivateUsers=false\nLimitNOFILE=1024\n' >$folder/container.conf
"""
_ASK = """
import sys, time, urllib.error, urllib.request
url, key, body, within_s = sys.argv[1:]
head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
request = urllib.request.Request(url, body.encode(), head)
deadline = time.monotonic() + float(within_s)
while True:
    try:
        print(urllib.request.urlopen(request, timeout=60).read().decode())
        break
    except urllib.error.HTTPError as error:
        if error.code != 503 or time.monotonic() > deadline:
            sys.exit(f"{error.code} {error.read().decode()}")
    time.sleep(0.5)
"""
#: A router looks every 2 s whether a replica is back, and a gateway whether a router is.
_FOUND_AGAIN_S = 30.0


@dataclass(frozen=True)
class SystemdMachine:
    """The container."""

    container: Container

    def run(self, *command: str, env: Mapping[str, str] | None = None, within: str = "/") -> str:
        """Run a command as root. What it prints; it must end well."""
        code, printed = self.container.exec_run(
            list(command), environment=dict(env or {}), workdir=within
        )
        text: str = printed.decode(errors="replace")
        assert code == 0, f"{command}: {text[-3000:]}"
        return text

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def kill(self, unit: str) -> None:
        """End its main process without a chance to do anything, as a crash does."""
        self.run("kill", "-KILL", self.show(unit, "MainPID"))

    def await_active(self, unit: str, within_s: float, *, restarts: int = 0) -> None:
        """Wait until systemd has started it again so often, and it can answer."""
        deadline = time.monotonic() + within_s
        wanted = ["active", str(restarts)]
        while (now := [self.show(unit, name) for name in ("ActiveState", "NRestarts")]) != wanted:
            assert now[0] != "failed" and int(now[1]) <= restarts, self.log(unit)
            assert time.monotonic() < deadline, self.log(unit)
            time.sleep(0.5)

    def log(self, unit: str) -> str:
        """The end of what it and systemd wrote about it."""
        return self.run("journalctl", "--no-pager", "-n", "60", "-u", unit)

    def chat(self, url: str, key: str, model: str) -> dict[str, Any]:
        """The answer to a chat that is asked on the machine itself, again while it gets 503."""
        question = {"role": "user", "content": "Say hello."}
        body = json.dumps({"model": model, "max_tokens": 8, "messages": [question]})
        where = f"{url}/v1/chat/completions"
        printed = self.run("python3", "-c", _ASK, where, key, body, str(_FOUND_AGAIN_S))
        answer: dict[str, Any] = json.loads(printed)
        return answer

    def reboot(self) -> None:
        """Shut it down in order, and start it again."""
        self.container.restart(timeout=60)
        self._await_boot()

    def _await_boot(self) -> None:
        """Not until all of it runs: a replica, which starts by itself, takes minutes."""
        deadline = time.monotonic() + _BOOT_S
        is_up = ["systemctl", "is-active", "--quiet", "basic.target"]
        while self.container.exec_run(is_up)[0] != 0:
            assert time.monotonic() < deadline, self.run("systemctl", "list-jobs")
            time.sleep(0.5)


@contextmanager
def running(endpoint: str, volumes: Mapping[str, tuple[str, str]]) -> Iterator[SystemdMachine]:
    """A machine; ``volumes`` are folders of this one, and where and how ("ro") it has them."""
    docker_daemon.import_site(endpoint)
    with closing(docker.DockerClient(base_url=endpoint, timeout=600)) as client:
        container = client.containers.create(
            docker_daemon.SITE_IMAGE,
            ["/sbin/init"],
            cap_add=["SYS_ADMIN"],
            cgroupns="private",
            environment={"container": "docker"},
            network_mode="none",
            shm_size="1g",  # vLLM needs more than the 64 MB that a container has
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            stop_signal=_SHUT_DOWN,
            tmpfs={"/run": "", "/run/lock": "", "/tmp": ""},
            tty=True,
            volumes={one: {"bind": where, "mode": mode} for one, (where, mode) in volumes.items()},
        )
        try:
            container.start()
            machine = SystemdMachine(container)
            machine.run("sh", "-c", _ADAPT_REDIS)
            # The Python below it runs the site's engine too, under an account of its own.
            machine.run("chmod", "o+x", "/root")
            machine.reboot()
            yield machine
        finally:
            container.remove(force=True)
