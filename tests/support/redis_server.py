"""A Redis of Debian's package, on a free port of loopback, that can be killed and started again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.support.debian_packages import found_or_installed

from stoker.server.ports import any_free

#: Also the name of its package.
_PROGRAM = "redis-server"
_START_S = 10.0


class RedisServer:
    """One server with its files in ``folder``; nothing is kept over a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = any_free()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = found_or_installed(_PROGRAM, lambda: shutil.which(_PROGRAM))
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self._process = subprocess.Popen(
            [program, *options, str(self._folder)], stdout=subprocess.DEVNULL
        )
        _wait_until_it_listens(self.port, self._process)

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait for a server that was just started."""
    deadline = time.monotonic() + _START_S
    while not _listens(port):
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
