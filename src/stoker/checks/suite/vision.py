"""Vision: images in a chat."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

from stoker.checks.check import Table
from stoker.checks.exceptions import NotSupported
from stoker.checks.target import Endpoint, answered, expect, optional, usage

table = Table("images", "Images")


@table.check(
    "accepted",
    "An image in a message reaches the model.",
    why="Users paste screenshots into the chat.",
    fix="Optional. Serve a vision model (with llama.cpp, together with its mmproj file).",
)
def image(endpoint: Endpoint) -> str:
    bare = usage(answered(endpoint.chat("Which colour is this?", max_tokens=1)))["prompt_tokens"]
    reply = endpoint.chat([_picture()], max_tokens=8)
    # llama.cpp refuses images with status 500; only its message shows that it is a refusal.
    if "support" in reply.text.lower() and not reply.ok:
        raise NotSupported(f"refused with status {reply.status}: {reply.text}")
    seen = usage(answered(optional(reply)))["prompt_tokens"]
    expect(seen > bare + 3, f"{bare} prompt tokens without it, {seen} with it: it was dropped")
    return f"{seen - bare} prompt tokens for 64 x 64 pixels"


def _picture() -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(_red_png(64)).decode()}"
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": "Which colour is this?"},
            {"type": "image_url", "image_url": {"url": url}},
        ],
    }


def _red_png(size: int) -> bytes:
    """A red square as a PNG (https://www.w3.org/TR/png-3/)."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\x00" + b"\xff\x00\x00" * size) * size
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    parts = part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
