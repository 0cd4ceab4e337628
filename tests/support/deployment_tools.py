"""The programs that read deployment files: Docker Compose, and Quadlet's generator.

Debian 12 has docker-compose 1.29, and a Podman without Quadlet. The newer ones are taken out of
Debian 13's packages, and run here with that release's C library. Packages are kept in the cache.
"""

from __future__ import annotations

import functools
import hashlib
import lzma
import os
import subprocess
import urllib.request
from pathlib import Path

from tests.support import docker_daemon
from tests.support.debian_packages import found_or_installed

_SUITE = "trixie"


def compose_1() -> str:
    """docker-compose 1.29, or what the machine has under that name."""

    def find() -> str | None:
        found = Path("/usr/bin/docker-compose")
        return str(found) if found.exists() else None

    return found_or_installed("docker-compose", find)


def compose_2() -> str:
    """Docker Compose 2, as a program of its own."""
    return str(_unpacked("docker-compose") / "usr/libexec/docker/cli-plugins/docker-compose")


def quadlet(units: Path) -> subprocess.CompletedProcess[str]:
    """Quadlet's generator, in dry-run, over the files of a folder."""
    root, libc = _unpacked("podman"), _unpacked("libc6")
    libraries = libc / "usr/lib/x86_64-linux-gnu"
    return subprocess.run(
        [
            libraries / "ld-linux-x86-64.so.2",
            "--library-path",
            libraries,
            root / "usr/libexec/podman/quadlet",
            "-dryrun",
            "-no-kmsg-log",
        ],
        check=False,
        env={**os.environ, "QUADLET_UNIT_DIRS": str(units)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@functools.cache
def _unpacked(package: str) -> Path:
    """The files of a package of Debian 13, from the mirror that this machine uses."""
    mirror = docker_daemon.mirror()
    row = _index(mirror)[package]
    folder = _cache() / f"{package}-{row['SHA256'][:12]}"
    if folder.exists():
        return folder
    content = _fetched(f"{mirror}{row['Filename']}")
    assert hashlib.sha256(content).hexdigest() == row["SHA256"]
    archive = folder.with_suffix(".deb")
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(content)
    partial = folder.with_suffix(".partial")
    subprocess.run(["rm", "-rf", partial], check=True)
    subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
    archive.unlink()
    return partial.rename(folder)


@functools.cache
def _index(mirror: str) -> dict[str, dict[str, str]]:
    """The fields of each package of the release, by its name."""
    text = lzma.decompress(_fetched(f"{mirror}dists/{_SUITE}/main/binary-amd64/Packages.xz"))
    found = {}
    for paragraph in text.decode().split("\n\n"):
        lines = (line.partition(": ") for line in paragraph.splitlines() if ": " in line)
        fields = {name: value for name, _, value in lines if not name.startswith(" ")}
        if fields:
            found[fields["Package"]] = fields
    return found


def _fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=300) as answer:
        content: bytes = answer.read()
        return content


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "stoker" / "deployment-tools"
