"""A PostgreSQL server of the tests' own: a free port of loopback, files in a temporary folder.

PostgreSQL refuses to run as root, so root runs it as the user that the package makes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian_packages import found_or_installed

from stoker.server.ports import any_free

_USER = "postgres"
_WAIT_S = 30


@dataclass(frozen=True)
class PostgresServer:
    """A server that can be stopped and started again, with what it has stored."""

    folder: Path
    programs: Path
    port: int

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -k {self.folder} -h 127.0.0.1 -F"  # -F: no test pulls the plug
        self._control("start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """Stop it at once, as a crash would: what was committed stays."""
        self._control("stop", "-m", "immediate")

    def make(self) -> None:
        """Make its files. Every user of this machine is trusted, on loopback alone."""
        self._run("initdb", "-D", str(self.folder / "data"), "-U", _USER, "-A", "trust", "-N")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-t", str(_WAIT_S), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        subprocess.run(
            [*_as_its_user(), *command],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            timeout=2 * _WAIT_S,
        )


@contextmanager
def running() -> Iterator[PostgresServer]:
    """A server while the context lasts."""
    programs = found_or_installed("postgresql", _programs)
    # Not pytest's folder: that is closed to the user that runs the server.
    top = Path(tempfile.mkdtemp(prefix="stoker-postgres-"))
    top.chmod(0o755)
    server = PostgresServer(top / "server", programs, any_free())
    try:
        server.folder.mkdir(mode=0o700)
        if _is_root():
            shutil.chown(server.folder, _USER, _USER)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _as_its_user() -> list[str]:
    return (
        ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"] if _is_root() else []
    )


def _is_root() -> bool:
    return os.geteuid() == 0


def _programs() -> Path | None:
    """The newest version's programs: Debian keeps all but a few of them off PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    on_path = shutil.which("pg_ctl")
    found = [folder for folder in folders if (folder / "pg_ctl").exists()]
    if found:
        return found[-1]
    return Path(on_path).resolve().parent if on_path else None
