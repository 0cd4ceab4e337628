"""A Prometheus of Debian's package, at a free port of loopback, with its files in a folder."""

from __future__ import annotations

import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from tests.support.debian_packages import found_or_installed

from stoker.server.ports import any_free

_PACKAGE = "prometheus"
_START_S = 30.0
#: As short as the test's patience: what is shown of it does not depend on it.
_CONFIG = """
global:
  scrape_interval: 500ms
  evaluation_interval: 500ms
rule_files: [rules.yaml]
scrape_configs:
  - job_name: stoker
    authorization: {credentials_file: key}
    static_configs: [{targets: ["%s"]}]
"""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What Prometheus' own tool finds."""
    program = found_or_installed(_PACKAGE, lambda: shutil.which("promtool"))
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True)
class PrometheusServer:
    """A server that scrapes one gateway twice a second."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API, which must be a success."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            document = orjson.loads(answer.read())
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found


@contextmanager
def running(folder: Path, target: str, key: str, rules: str) -> Iterator[PrometheusServer]:
    """A server that scrapes ``target`` with a key, and evaluates these rules."""
    program = found_or_installed(_PACKAGE, lambda: shutil.which("prometheus"))
    (folder / "rules.yaml").write_text(rules)
    (folder / "key").write_text(key)
    (folder / "prometheus.yml").write_text(_CONFIG % target)
    port = any_free()
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        server = PrometheusServer(f"http://127.0.0.1:{port}")
        _wait_until_ready(server, process, folder / "log")
        yield server
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _wait_until_ready(
    server: PrometheusServer, process: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            with urllib.request.urlopen(f"{server.url}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
