"""A deterministic OpenAI-compatible backend for benchmarks: the same bytes for the same request.

``max_tokens`` is how many chunks a stream has. ``interval_ms`` is the pause between two chunks, so
that a relay sees them one by one, as from an engine that decodes; ``--interval-ms`` is that of
requests without it. Written on bare asyncio protocols, so that it costs less than the relay in
front of it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

MODEL = "mock"
WINDOW = 1_000_000


def chunk(index: int) -> bytes:
    """The ``index``-th streamed event: the shape and size that vLLM sends."""
    event = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1795420361,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "delta": {"content": f" word{index % 10}"},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    }
    return b"data: " + orjson.dumps(event) + b"\n\n"


def tokens_in(body: bytes) -> int:
    """What the mock takes a request's prompt for: as of code and JSON, some 5 bytes a token."""
    return len(body) // 5


def usage_of(prompt: int, answer: int) -> dict[str, int]:
    """The usage of a prompt and an answer of so many tokens."""
    total = prompt + answer
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": total}


def usage_event(prompt: int, chunks: int) -> bytes:
    """The last event of a stream whose client asked for usage."""
    usage = usage_of(prompt, chunks)
    event = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "model": MODEL}
    return b"data: " + orjson.dumps({**event, "choices": [], "usage": usage}) + b"\n\n"


def framed(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


EVENTS = [framed(chunk(i)) for i in range(10)]
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": WINDOW}]}
ANSWER = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "word " * 20},
            "finish_reason": "stop",
        }
    ],
}


class MockBackend(asyncio.Protocol):
    """One connection, HTTP/1.1 with keep-alive; understands only what the benchmark sends."""

    def __init__(self, interval_ms: float) -> None:
        self._interval_ms = interval_ms
        self._buffer = b""
        self._transport: Any = None
        self._open = True
        self._stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop streaming to a client that left."""
        self._open = False
        STREAMING.discard(self)
        if self._stream is not None:
            self._stream.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._buffer += data
        while True:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            headers = dict(
                line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
            )
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(head.split(b" ", 2)[1], rest[:length])

    def _answer(self, path: bytes, body: bytes) -> None:
        if path in COUNTS:
            self._json(COUNTS[path]())
            return
        if path == b"/tokenize":
            COUNTED.append(len(body))
            self._json({"count": tokens_in(body), "max_model_len": WINDOW})
            return
        if not path.startswith(b"/v1/chat"):
            self._json(MODELS if path == b"/v1/models" else {"status": "ok"})
            return
        request = orjson.loads(body)
        if not request.get("stream"):
            # As of a stream: the gateway counts each prompt where two reports of one differ.
            self._json({**ANSWER, "usage": usage_of(tokens_in(body), 20)})
            return
        wants_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        interval_s = request.get("interval_ms", self._interval_ms) / 1000
        self._stream = asyncio.create_task(
            self._send(
                request.get("max_tokens", 16),
                interval_s,
                usage_event(tokens_in(body), request.get("max_tokens", 16)) if wants_usage else b"",
            )
        )

    def _json(self, value: object) -> None:
        body = orjson.dumps(value)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)

    async def _send(self, chunks: int, interval_s: float, usage: bytes) -> None:
        self._transport.write(STREAM_HEAD)
        STREAMING.add(self)
        for index in range(chunks):
            if not self._open:
                return
            self._transport.write(EVENTS[index % 10])
            if interval_s or index % 64 == 63:
                await asyncio.sleep(interval_s)
        STREAMING.discard(self)
        tail = framed(usage) if usage else b""
        self._transport.write(tail + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


#: Connections with an answer under way.
STREAMING: set[MockBackend] = set()
#: The bytes of each request to ``/tokenize``.
COUNTED: list[int] = []
#: What a ``GET`` returns of them: how many.
COUNTS: dict[bytes, Callable[[], int]] = {
    b"/streaming": lambda: len(STREAMING),
    b"/counted": lambda: len(COUNTED),
}


async def serve(factory: Callable[[], asyncio.Protocol], port: int) -> None:
    """Serve until the process ends. Prints the port, since the system chooses it for 0."""
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve on ``--port``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--interval-ms", type=float, default=0)
    arguments = parser.parse_args()
    port, factory = arguments.port, partial(MockBackend, arguments.interval_ms)
    if sys.platform == "win32":
        asyncio.run(serve(factory, port))
    else:
        import uvloop  # noqa: PLC0415

        uvloop.run(serve(factory, port))


if __name__ == "__main__":
    main()
