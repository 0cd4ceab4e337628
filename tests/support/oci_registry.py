"""An OCI registry of Debian's package ``docker-registry``, on a free port of loopback."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tests.support.debian_packages import found_or_installed

from stoker.server.ports import any_free

#: Also the name of its package.
_PROGRAM = "docker-registry"
_START_S = 20.0
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


#: A login of ``running(..., private=True)``, and the line for it as ``htpasswd -B`` writes it.
LOGIN = ("user", "password of a test")
_HTPASSWD = "user:$2b$10$Y.9Jx9yVor/gQ/j8Pi1TxOraUMV0.sM18WVxPGqEIzs3nV7fnYU0."


@dataclass(frozen=True)
class OciRegistry:
    """A registry that runs; ``log`` has a line for each request."""

    address: str
    log: Path
    login: tuple[str, str] | None = None

    def push_blob(self, name: str, content: bytes) -> dict[str, Any]:
        """Store a blob in the repository; its descriptor, without a media type."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = requests.post(
            f"http://{self.address}/v2/{name}/blobs/uploads/", timeout=30, auth=self.login
        )
        where = begun.headers["Location"]
        kind = {"Content-Type": "application/octet-stream"}
        done = requests.put(
            where,
            params={"digest": digest},
            data=content,
            headers=kind,
            timeout=30,
            auth=self.login,
        )
        assert done.status_code == 201, done.text
        return {"digest": digest, "size": len(content)}

    def push_manifest(self, name: str, tag: str, manifest: dict[str, Any]) -> str:
        """Store a manifest under a tag; its digest."""
        done = requests.put(
            f"http://{self.address}/v2/{name}/manifests/{tag}",
            data=json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, **manifest}),
            headers={"Content-Type": _MANIFEST},
            timeout=30,
            auth=self.login,
        )
        assert done.status_code == 201, done.text
        return done.headers["Docker-Content-Digest"]


@contextmanager
def running(folder: Path, *, private: bool = False) -> Iterator[OciRegistry]:
    """Start one with its files in ``folder``; a private one asks for a password."""
    program = found_or_installed(_PROGRAM, lambda: shutil.which(_PROGRAM))
    port = any_free()
    settings: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if private:
        accounts = folder / "htpasswd"
        accounts.write_text(_HTPASSWD + "\n")
        settings["auth"] = {"htpasswd": {"realm": "registry.example", "path": str(accounts)}}
    configuration = folder / "registry.json"
    configuration.write_text(json.dumps(settings))  # JSON is YAML
    log = folder / "registry.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program, "serve", configuration], stdout=out, stderr=out)
    try:
        _await(port, process, log)
        yield OciRegistry(f"127.0.0.1:{port}", log, LOGIN if private else None)
    finally:
        process.kill()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
