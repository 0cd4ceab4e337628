"""Conversations of real editors with the scripted model, recorded as they reached the engine.

A file is gzipped JSON: ``{"tools": [[...], ...], "requests": [...]}``. Each request is the body
of a chat completion, but its ``tools`` is the number of a list in ``tools`` (requests share them),
and ``messages`` may begin with ``{"same": N}``: the first N messages of the request before. Paths
of the machine are written as /home/user/project.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Body = dict[str, Any]
FIXTURES = Path(__file__).parents[1] / "fixtures/agent"
PROJECT = "/home/user/project"


def load(path: Path) -> list[Body]:
    """Return the recorded requests, whole, in the order in which they came."""
    packed = json.loads(gzip.decompress(path.read_bytes()))
    requests: list[Body] = []
    messages: list[Body] = []
    for body in packed["requests"]:
        same, *new = body["messages"]
        messages = messages[: same["same"]] + new
        request = {**body, "messages": messages}
        if "tools" in body:
            request["tools"] = packed["tools"][body["tools"]]
        requests.append(request)
    return requests


def save(path: Path, requests: Iterable[Body], folder: Path) -> None:
    """Write requests that were made in ``folder``, whose name is not kept."""
    text = json.dumps(list(requests), ensure_ascii=False).replace(str(folder), PROJECT)
    tools: list[Any] = []
    packed: list[Body] = []
    before: list[Body] = []
    for request in json.loads(text):
        messages = request["messages"]
        same = _same(before, messages)
        body = {**request, "messages": [{"same": same}, *messages[same:]]}
        if "tools" in request:
            if request["tools"] not in tools:
                tools.append(request["tools"])
            body["tools"] = tools.index(request["tools"])
        packed.append(body)
        before = messages
    written = json.dumps({"tools": tools, "requests": packed}, ensure_ascii=False)
    path.write_bytes(gzip.compress(written.encode(), mtime=0))


def _same(before: list[Body], after: list[Body]) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    return next((at for at, (old, new) in pairs if old != new), min(len(before), len(after)))
