"""A site as ``stoker deploy systemd`` writes it, run from its own files without systemd.

The commands are those of the units, the configuration is the files', and the scripts are run as
they are. Only three things differ: ports are free ones, programs are those of this machine, and
``systemctl restart`` is a program that asks ``RunningSite`` to do it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from tests.support import vllm_router
from tests.support.debian_packages import found_or_installed

from stoker.deploy import SiteFile
from stoker.server.ports import any_free

_REPLICA = Path(__file__).with_name("stand_in_replica.py")
_OWN_PORTS = re.compile(r"\b8[1-4]0[1-9]\b|(?<=127\.0\.0\.1:)8000\b")
_STOP_S = 60.0
_START_S = 120.0


@dataclass
class RunningSite:
    """The processes of a site, by the name of their unit."""

    folder: Path
    ports: dict[str, str] = field(default_factory=dict)
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _nginx: subprocess.Popen[bytes] | None = None

    @classmethod
    def written(cls, folder: Path, files: tuple[SiteFile, ...]) -> RunningSite:
        """The site's files in a folder, with free ports and secrets."""
        site = cls(folder)
        site.rewrite(files)
        subprocess.run(["./make-secrets.sh"], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        return site

    def rewrite(self, files: tuple[SiteFile, ...]) -> None:
        """Write the files, over those that are there."""
        for file in files:
            path = self.folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            text = _OWN_PORTS.sub(lambda found: self._free(found[0]), file.text)
            path.write_text(text.replace("/etc/stoker/", f"{self.folder}/etc/"))
            path.chmod(0o755 if file.executable else 0o644)

    async def models(self) -> set[str]:
        """What it lists; nothing while it does not answer."""
        head = {"Authorization": f"Bearer {self.key}"}
        try:
            async with (
                aiohttp.ClientSession(headers=head) as http,
                http.get(f"{self.endpoint}/v1/models") as answer,
            ):
                return {row["id"] for row in (await answer.json()).get("data", ())}
        except aiohttp.ClientError:
            return set()

    async def first_questions(self, replica: int) -> set[str]:
        """Of the conversations that a replica has had a part in."""
        head = {"Authorization": f"Bearer {self._engine_key}"}
        url = f"http://127.0.0.1:{self.ports[f'810{replica}']}/metrics"
        async with aiohttp.ClientSession(headers=head) as http, http.get(url) as answer:
            lines = (await answer.text()).splitlines()
        return {line.removeprefix("# ") for line in lines if line.startswith("# ")}

    @property
    def _engine_key(self) -> str:
        text = (self.folder / "secrets/engine.env").read_text()
        return text.partition("VLLM_API_KEY=")[2].split()[0]

    def _free(self, port: str) -> str:
        return self.ports.setdefault(port, str(any_free()))

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"http://127.0.0.1:{self.ports['8000']}"

    @property
    def key(self) -> str:
        """A key that the gateways accept."""
        return (self.folder / "secrets/prometheus.key").read_text()

    async def start_all(self) -> None:
        """Start every unit, the front last, and wait until a model answers."""
        for unit in re.findall(
            r"Wants=(\S+)\.service", (self.folder / "units/stoker.target").read_text()
        ):
            await self.start(unit)
        self._start_front()
        deadline = time.monotonic() + _START_S
        while not await self.models():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)

    async def start(self, unit: str) -> None:
        """Start a unit as its file has it."""
        template, _, number = unit.partition("@")
        text = (self.folder / f"units/{template}@.service").read_text()
        env = {**os.environ, **_env_files(self.folder, text, number)}
        env["STOKER_HOME"] = str(self.folder / "state")
        with (self.folder / f"{unit}.log").open("ab") as log:
            self.processes[unit] = await asyncio.create_subprocess_exec(
                *_command(text, number, env), env=env, stdout=log, stderr=log
            )

    async def kill(self, unit: str) -> None:
        """End it without a chance to do anything."""
        self.processes[unit].kill()
        await self.processes[unit].wait()

    async def restart(self, unit: str) -> None:
        """What ``systemctl restart`` does: it returns when the unit can answer."""
        process = self.processes[unit]
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), _STOP_S)
        await self.start(unit)
        template, _, number = unit.partition("@")
        port = {"stoker-replica": "810", "stoker-router": "820", "stoker-gateway": "840"}[template]
        url = f"http://127.0.0.1:{self.ports[port + number]}/health"
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(url) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)

    async def upgrade(self) -> str:
        """Run ``upgrade.sh``; what it prints."""
        app = web.Application()

        async def restart(request: web.Request) -> web.Response:
            await self.restart(request.match_info["unit"])
            return web.Response()

        app.router.add_get("/{unit}", restart)
        runner = web.AppRunner(app)
        await runner.setup()
        port = any_free()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        ask = "import sys, urllib.request as u; u.urlopen('http://127.0.0.1:{}/' + sys.argv[1])"
        _program(programs / "systemctl", f'exec {sys.executable} -c "{ask.format(port)}" "$2"')
        _program(self.folder / "install.sh", "exit 0")
        script = self.folder / "upgrade.sh"
        script.write_text(re.sub(r"/opt/stoker/\S+/python", sys.executable, script.read_text()))
        done = await asyncio.create_subprocess_exec(
            script,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await done.communicate()
        await runner.cleanup()
        assert done.returncode == 0, printed.decode()
        return printed.decode()

    async def close(self) -> None:
        """Kill what runs."""
        if self._nginx is not None:
            self._nginx.terminate()
            self._nginx.wait()
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _start_front(self) -> None:
        program = found_or_installed("nginx-light", lambda: shutil.which("nginx"))
        temporary = "".join(
            f"{kind}_temp_path {self.folder}/nginx-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole = self.folder / "nginx.conf"
        whole.write_text(
            f"daemon off; pid {self.folder}/nginx.pid; error_log {self.folder}/nginx.log;\n"
            f"events {{}}\nhttp {{ {temporary} include {self.folder}/front/*.conf; }}\n"
        )
        self._nginx = subprocess.Popen([program, "-c", whole, "-e", self.folder / "nginx.log"])


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def _env_files(folder: Path, text: str, number: str) -> dict[str, str]:
    found = {}
    for path in re.findall(r"^EnvironmentFile=(\S+)", text, re.MULTILINE):
        place = Path(
            path.replace("%i", number).replace(f"{folder}/etc/secrets", f"{folder}/secrets")
        )
        lines = [line for line in place.read_text().splitlines() if not line.startswith("#")]
        found.update(dict(line.split("=", 1) for line in lines))
    return found


def _command(text: str, number: str, env: Mapping[str, str]) -> list[str]:
    """``ExecStart``, as systemd reads it: over several lines, with comments between."""
    lines = text[text.index("ExecStart=") :].splitlines()
    words: list[str] = []
    for line in lines:
        if line.lstrip().startswith("#"):
            continue
        words += line.removesuffix("\\").removeprefix("ExecStart=").split()
        if not line.endswith("\\"):
            break
    words = [re.sub(r"\$\{(\w+)\}", lambda name: env[name[1]], word) for word in words]
    words = [word.replace("%i", number) for word in words]
    program = words[0].rpartition("/")[2]
    if program == "vllm-router":
        return [str(vllm_router.program()), *words[1:]]
    if program == "stoker":
        return [sys.executable, "-m", "stoker", *words[1:]]
    return [sys.executable, str(_REPLICA), *words[1:]]
