"""Scripted backends, and the real gateway in front of them.

A backend is a raw asyncio protocol that answers each request with a named scenario: a coroutine
that writes whatever bytes it likes, well-formed or not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from stoker.access.api_keys import Keys
from stoker.engines import Backend, ServedModel
from stoker.gateway import FitSettings, Gateway, GatewayTimings, Served
from stoker.gateway.pipeline import MODEL_REQUEST, Row
from stoker.usage_records import UsageStore

MODEL = "coder"
DONE = b"data: [DONE]\n\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_NONE: Mapping[str, str] = {}
LISTING = {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 8192}]}


def event(text: str | None = None, **fields: Any) -> bytes:
    """One streamed event with a piece of text, or with other fields."""
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}}]
    return b"data: " + orjson.dumps({"id": "c", "choices": choices, **fields}) + b"\n\n"


def usage(prompt: int = 7, completion: int = 3) -> bytes:
    """The event that says how many tokens it were."""
    return event(usage={"prompt_tokens": prompt, "completion_tokens": completion})


def chunk(data: bytes) -> bytes:
    """One chunk of HTTP's chunked transfer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(body: bytes, *, status: int = 200, kind: str = "application/json") -> bytes:
    """A whole answer with its length."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Call:
    """One request to a scripted backend, and the means to answer it."""

    path: str
    body: dict[str, Any]
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Write each piece by itself."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def stream(self, *events: bytes) -> None:
        """Answer with a whole, well-formed stream of these events."""
        await self.send(STREAM, *map(chunk, events), b"0\r\n\r\n")

    def die(self) -> None:
        """Break the connection off, as a process does that is killed."""
        self.writer.transport.abort()


Scenario = Callable[[Call], Awaitable[None]]


@dataclass
class Scripted:
    """A backend that answers chats with a scenario, and everything else as it should."""

    scenario: Scenario
    model: str = MODEL
    #: It answers requests, and nothing else.
    misses_checks: bool = False
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    #: Set when a connection ended, whoever ended it.
    left: asyncio.Event = field(default_factory=asyncio.Event)
    server: asyncio.Server | None = None
    port: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """Accept nothing more and break off what is under way."""
        assert self.server is not None
        self.server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        first = b""
        try:
            while True:
                head = first + await reader.readuntil(b"\r\n\r\n")
                first = b""
                lines = head.decode().split("\r\n")
                length = next((int(x[15:]) for x in lines if x.lower().startswith("content-l")), 0)
                body = await reader.readexactly(length)
                path = lines[0].split()[1]
                call = Call(path, orjson.loads(body or b"{}"), writer)
                if path == "/v1/models" and not self.misses_checks:
                    listing = orjson.dumps(LISTING).replace(MODEL.encode(), self.model.encode())
                    await call.send(answer(listing))
                    continue
                if path == "/v1/models" or not path.startswith(("/v1/", "/infill")):
                    await call.send(answer(b"{}", status=404))
                    continue
                self.calls.append(call)
                first = await self._play(call, reader)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            self.left.set()
            writer.transport.abort()

    async def _play(self, call: Call, reader: asyncio.StreamReader) -> bytes:
        """Answer, and stop where the gateway hangs up meanwhile. What it sends next, if any."""
        playing = asyncio.ensure_future(self.scenario(call))
        reading = asyncio.ensure_future(reader.read(1))
        await asyncio.wait({playing, reading}, return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and (reading.exception() or not reading.result()):
            playing.cancel()
            raise ConnectionResetError
        await playing
        return await reading  # of the next request, or nothing


@dataclass
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error in it, which must have OpenAI's form."""
        error: dict[str, Any] = orjson.loads(self.body)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["message"]
        return error


@dataclass
class Front:
    """The gateway at a port of its own, and a client of it."""

    gateway: Gateway
    port: int
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def chat(self, **fields: Any) -> Reply:
        """Ask, and read the whole answer."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **fields}
        async with self.http.post(self.url + "/v1/chat/completions", json=body) as response:
            return Reply(response.status, dict(response.headers), await response.read())

    async def stream(self, **fields: Any) -> bytes:
        """The bytes of a streamed answer."""
        response = await self.chat(stream=True, **fields)
        assert response.status == 200, response.body
        return response.body

    async def post(
        self, body: Any, path: str = "/v1/chat/completions", headers: Mapping[str, str] = _NONE
    ) -> Reply:
        """Send these bytes as they are."""
        async with self.http.post(self.url + path, data=body, headers=headers) as response:
            return Reply(response.status, dict(response.headers), await response.read())

    async def metrics(self) -> str:
        async with self.http.get(self.url + "/metrics") as response:
            return await response.text()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of one's own, to be misused."""
        return await asyncio.open_connection("127.0.0.1", self.port)


def chat_bytes(**fields: Any) -> bytes:
    """A whole HTTP request for a streamed chat."""
    body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    payload = orjson.dumps({**body, **fields})
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head += f"Content-Length: {len(payload)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + payload


@contextlib.asynccontextmanager
async def running(*scenarios: Scenario) -> AsyncIterator[list[Scripted]]:
    """Scripted backends that run."""
    backends = [Scripted(scenario) for scenario in scenarios]
    for backend in backends:
        await backend.start()
    try:
        yield backends
    finally:
        for backend in backends:
            await backend.kill()


@contextlib.asynccontextmanager
async def front(gateway: Gateway) -> AsyncIterator[Front]:
    """The gateway as it runs in production, at a free port of loopback."""
    runner = gateway.runner()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as http:
        yield Front(gateway, runner.addresses[0][1], http)
    await runner.cleanup()


@contextlib.asynccontextmanager
async def gateway_to(
    *urls: str,
    max_concurrent: int | None = None,
    keys: Keys | None = None,
    tools: Any = "native",
    vision: bool | None = None,
    takes_suffix: bool | None = None,
    timings: GatewayTimings | None = None,
    engine: str = "openai",
    model_request: Row = MODEL_REQUEST,
    fit: FitSettings | None = None,
    usage: UsageStore | None = None,
) -> AsyncIterator[Front]:
    """The gateway in front of the backends at these addresses."""
    gateway = Gateway(keys, timings or GatewayTimings(), model_request)
    gateway.record_usage(usage, 400)
    models = [
        ServedModel(
            MODEL,
            max_model_len=8192,
            tools=tools,
            vision=vision,
            takes_suffix=takes_suffix,
        )
    ]
    gateway.serve(
        [Served(Backend(url, engine), models, fit or FitSettings(), max_concurrent) for url in urls]
    )
    async with front(gateway) as served:
        yield served


@contextlib.asynccontextmanager
async def gateway_with(
    *scenarios: Scenario, **settings: Any
) -> AsyncIterator[tuple[Front, list[Scripted]]]:
    """The gateway in front of scripted backends."""
    async with (
        running(*scenarios) as backends,
        gateway_to(*(backend.url for backend in backends), **settings) as served,
    ):
        yield served, backends


async def wait_for(condition: Callable[[], bool], within_s: float = 3.0) -> None:
    """Wait until something that nothing signals has happened."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen"
        await asyncio.sleep(0.005)
