"""A hub of one's own: the part of the Hugging Face API that a download uses, over real HTTP.

Routes and headers follow https://huggingface.co/docs/hub/api and what huggingface_hub 1 and 2
send: ``/api/models/ID[/revision/REV]`` and ``/ID/resolve/REV/FILE`` with ``Range``.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REVISION = "f" * 40


@dataclass
class Hub:
    """What the hub has, and what it was asked for."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    #: The SHA-256 that the hub claims for a file, where it is not the true one.
    claims: dict[str, str] = field(default_factory=dict)
    ranges: list[str | None] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    bytes_sent: int = 0
    #: Seconds between pieces of 64 KiB.
    delay_s: float = 0.0
    endpoint: str = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.tokens.add(self.headers.get("Authorization"))
        if path.startswith("api/models/"):
            repo = "/".join(path.split("/")[2:4])
            self.reply_with_listing(repo)
        else:
            repo, _, rest = path.partition("/resolve/")
            self.reply_with_file(repo, rest.partition("/")[2])

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", f"refused: {code}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def refused(self, repo: str) -> bool:
        if repo in self.hub.gated and self.headers.get("Authorization") != "Bearer good":
            self.refuse(403, "GatedRepo")
        elif repo not in self.hub.files:
            self.refuse(404, "RepoNotFound")
        else:
            return False
        return True

    def reply_with_listing(self, repo: str) -> None:
        if self.refused(repo):
            return
        siblings = [
            {
                "rfilename": name,
                "size": len(content),
                "lfs": {
                    "sha256": self.hub.claims.get(name, hashlib.sha256(content).hexdigest()),
                    "size": len(content),
                    "pointerSize": 134,
                },
            }
            for name, content in self.hub.files[repo].items()
        ]
        listing = {"id": repo, "sha": REVISION, "siblings": siblings}
        self.reply(200, json.dumps(listing).encode(), {"Content-Type": "application/json"})

    def reply_with_file(self, repo: str, name: str) -> None:
        if self.refused(repo):
            return
        content = self.hub.files[repo].get(name)
        if content is None:
            self.refuse(404, "EntryNotFound")
            return
        wanted = self.headers.get("Range")
        self.hub.ranges.append(wanted)
        if wanted is None:
            self.reply(200, content, {})
            return
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.reply(206, content[start:], {"Content-Range": span})

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for at in range(0, len(body), 65536):
            self.wfile.write(body[at : at + 65536])
            self.hub.bytes_sent += len(body[at : at + 65536])
            time.sleep(self.hub.delay_s)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:  # a client that was killed, which is what a test is about
            self.close_connection = True


@contextmanager
def running() -> Iterator[Hub]:
    """A hub on a free port of the loopback interface."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
