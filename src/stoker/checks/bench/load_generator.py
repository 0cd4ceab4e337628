"""Send requests when they are due and note when each piece of their answers comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import orjson

from stoker.checks.bench.request_timing import CUT_OFF, NOT_SENT, Timing
from stoker.checks.bench.workloads import Request
from stoker.engines import Backend

#: A server that takes this long to accept a connection is not there. An answer may take as long
#: as the benchmark has time.
_CONNECT_S = 10.0
#: Of what a server says about a refusal, this much is kept.
_SAID_CHARS = 200
_TROUBLE = (aiohttp.ClientError, OSError, TimeoutError)


class HaltWatch:
    """Notes the times of one request on the clock of the running event loop."""

    def __init__(self, origin: float, arrival_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._origin = origin
        self.arrival_s = arrival_s
        self.sent_s: float | None = None
        self.chunk_s: list[float] = []
        self.end_s: float | None = None
        self.usage: dict[str, Any] = {}
        self.failure: str | None = None

    def now(self) -> float:
        """Seconds since the start of the round."""
        return self._clock() - self._origin

    def sent(self) -> None:
        """The request is on its way."""
        self.sent_s = self.now()

    def chunk(self) -> None:
        """A piece of the answer came."""
        self.chunk_s.append(self.now())

    def end(self) -> None:
        """The answer is complete. One without any text or call is none."""
        self.end_s = self.now()
        if not self.chunk_s:
            self.fail("an empty answer")

    def fail(self, why: str) -> None:
        """It did not work. The first reason stands."""
        self.failure = self.failure or why

    def timing(self) -> Timing:
        """What was noted. A request without an end was cut off, or never sent."""
        failure = self.failure
        if failure is None and self.end_s is None:
            failure = NOT_SENT if self.sent_s is None else CUT_OFF
        details = self.usage.get("prompt_tokens_details")
        return Timing(
            arrival_s=self.arrival_s,
            sent_s=self.sent_s,
            chunk_s=tuple(self.chunk_s),
            end_s=self.end_s,
            prompt_tokens=_whole(self.usage.get("prompt_tokens")),
            cached_tokens=_whole(details.get("cached_tokens"))
            if isinstance(details, dict)
            else None,
            answer_tokens=_whole(self.usage.get("completion_tokens")),
            failure=failure,
        )


Send = Callable[[Request, HaltWatch], Awaitable[None]]


class Halt:
    """When to stop: at a time of the event loop's clock, or when a person says so."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + seconds
        self._said = asyncio.Event()

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 when it is over."""
        if self._said.is_set():
            return 0.0
        return max(0.0, self._deadline - self._loop.time())

    @property
    def by_person(self) -> bool:
        """Whether a person stopped it."""
        return self._said.is_set()

    def stop(self) -> None:
        """Stop now."""
        self._said.set()

    async def said(self) -> None:
        """Return when a person stops it."""
        await self._said.wait()


async def open_loop(
    send: Send, requests: Sequence[Request], due_s: Sequence[float], halt: Halt
) -> list[Timing]:
    """Send each request when it is due, however many are under way, and time them all.

    Every request gets a timing, in the order given; those that ``halt`` cuts off have it as their
    failure.
    """
    loop = asyncio.get_running_loop()
    origin = loop.time()
    watches = [HaltWatch(origin, due) for due in due_s]

    async def one(request: Request, watch: HaltWatch) -> None:
        await asyncio.sleep(watch.arrival_s - watch.now())
        watch.sent()
        await send(request, watch)

    pairs = zip(requests, watches, strict=True)
    tasks = [asyncio.ensure_future(one(request, watch)) for request, watch in pairs]
    answers, stop = asyncio.gather(*tasks), asyncio.ensure_future(halt.said())
    either: set[asyncio.Future[Any]] = {answers, stop}
    try:
        await asyncio.wait(either, timeout=halt.left_s, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            answers.result()  # raises what no server can cause: a mistake of ours
    finally:
        await _cancel(*tasks, answers, stop)
    return [watch.timing() for watch in watches]


async def _cancel(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


class LoadClient:
    """Speaks to one endpoint over HTTP. Neither prompts nor answers are kept."""

    def __init__(self, http: aiohttp.ClientSession, backend: Backend) -> None:
        self._http = http
        self._backend = backend

    async def send(self, request: Request, watch: HaltWatch) -> None:
        """Send ``request`` and note the pieces of its streamed answer in ``watch``."""
        try:
            async with self._http.post(
                self._backend.url + request.path,
                data=orjson.dumps(request.body),
                headers={**self._backend.headers, "Content-Type": "application/json"},
            ) as response:
                if response.status != 200:
                    watch.fail(f"status {response.status}: {await self._said(response)}")
                elif "text/event-stream" not in response.content_type:
                    watch.fail(f"an answer in {response.content_type}, not a stream")
                else:
                    await _read(response, watch)
        except _TROUBLE as error:
            watch.fail(f"broke off: {type(error).__name__}")

    async def _said(self, response: aiohttp.ClientResponse) -> str:
        text = (await response.content.read(8192)).decode("utf-8", errors="replace")
        try:
            error = orjson.loads(text)["error"]
            text = str(error.get("message") if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError):
            pass
        if self._backend.key:
            text = text.replace(self._backend.key, "[key]")
        return " ".join(text.split())[:_SAID_CHARS]


def session() -> aiohttp.ClientSession:
    """A session without a limit on connections: one would hold requests back unseen.

    Each request has its own connection, as one that a server closes while a request is put on it
    would look like a failure of the server.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
    )


async def _read(response: aiohttp.ClientResponse, watch: HaltWatch) -> None:
    finished = False
    async for data in _events(response):
        if data == b"[DONE]":
            finished = True
            continue
        try:
            event = orjson.loads(data)
        except ValueError:
            watch.fail("an event that is not JSON")
            return
        if isinstance(event, dict) and event.get("error"):
            watch.fail("an error in the stream")
            return
        choices = _choices(event)
        if choices is None:
            watch.fail("an event of another shape than OpenAI's")
            return
        if any(_has_text(choice) for choice in choices):
            watch.chunk()
        finished = finished or any(choice.get("finish_reason") for choice in choices)
        usage = event.get("usage")
        watch.usage = usage if isinstance(usage, dict) else watch.usage
    if finished:
        watch.end()
    else:
        watch.fail("the stream ended early")


def _choices(event: Any) -> list[dict[str, Any]] | None:
    """The choices of an event; ``None`` where it has not the shape that an event has."""
    choices = (event.get("choices") or []) if isinstance(event, dict) else None
    if not isinstance(choices, list):
        return None
    well = all(isinstance(c, dict) and isinstance(c.get("delta") or {}, dict) for c in choices)
    return choices if well else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _has_text(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    kinds = ("content", "reasoning_content", "reasoning", "tool_calls")
    return bool(choice.get("text")) or any(delta.get(kind) for kind in kinds)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of each event, as soon as its line is complete."""
    rest = b""
    async for part in response.content.iter_any():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
