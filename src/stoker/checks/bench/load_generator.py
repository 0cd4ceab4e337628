"""Send requests when they are due, and record when each piece of their answers arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import orjson

from stoker.certificates.client_trust import client_context
from stoker.checks.bench.request_timing import CUT_OFF, NOT_SENT, Timing
from stoker.checks.bench.workloads import Request
from stoker.engines import Backend

#: Limit for opening a connection. An answer may take as long as the benchmark has time.
_CONNECT_S = 10.0
#: A server's error message is cut to this length.
_MESSAGE_CHARS = 200
_TRANSPORT_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)


class HaltWatch:
    """Records the times of one request on the clock of the running event loop."""

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
        """Record that the request is being sent."""
        self.sent_s = self.now()

    def chunk(self) -> None:
        """Record that a piece of the answer arrived."""
        self.chunk_s.append(self.now())

    def end(self) -> None:
        """Record that the answer is complete. One without text or calls is a failure."""
        self.end_s = self.now()
        if not self.chunk_s:
            self.fail("an empty answer")

    def fail(self, why: str) -> None:
        """Record a failure; the first reason is kept."""
        self.failure = self.failure or why

    def timing(self) -> Timing:
        """What was recorded. A request without an end was cut off, or never sent."""
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
    """When to stop: at a time on the event loop's clock, or when the user stops it."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + seconds
        self._stopped = asyncio.Event()

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 once it has stopped."""
        if self._stopped.is_set():
            return 0.0
        return max(0.0, self._deadline - self._loop.time())

    @property
    def by_user(self) -> bool:
        """Whether the user stopped it."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Stop now."""
        self._stopped.set()

    async def stopped(self) -> None:
        """Return when the user stops it."""
        await self._stopped.wait()


async def open_loop(
    send: Send, requests: Sequence[Request], due_s: Sequence[float], halt: Halt
) -> list[Timing]:
    """Send each request when it is due, however many are under way, and time them all.

    Returns a timing for every request, in the order given. For those that ``halt`` cut off, the
    failure is ``CUT_OFF`` or ``NOT_SENT``.
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
    answers, stop = asyncio.gather(*tasks), asyncio.ensure_future(halt.stopped())
    either: set[asyncio.Future[Any]] = {answers, stop}
    try:
        await asyncio.wait(either, timeout=halt.left_s, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            answers.result()  # raises only where Stoker itself has a defect
    finally:
        await _cancel(*tasks, answers, stop)
    return [watch.timing() for watch in watches]


async def _cancel(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


class LoadClient:
    """Sends requests to one endpoint over HTTP. Keeps neither prompts nor answers."""

    def __init__(self, http: aiohttp.ClientSession, backend: Backend) -> None:
        self._http = http
        self._backend = backend

    async def send(self, request: Request, watch: HaltWatch) -> None:
        """Send ``request`` and record the pieces of its streamed answer in ``watch``."""
        try:
            async with self._http.post(
                self._backend.url + request.path,
                data=orjson.dumps(request.body),
                headers={**self._backend.headers, "Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    watch.fail(f"status {response.status}: {await self._error_message(response)}")
                elif "text/event-stream" not in response.content_type:
                    watch.fail(f"an answer in {response.content_type}, not a stream")
                else:
                    await _read(response, watch)
        except _TRANSPORT_ERRORS as error:
            watch.fail(f"connection error: {type(error).__name__}")

    async def _error_message(self, response: aiohttp.ClientResponse) -> str:
        text = (await response.content.read(8192)).decode("utf-8", errors="replace")
        try:
            error = orjson.loads(text)["error"]
            text = str(error.get("message") if isinstance(error, dict) else error)
        except (ValueError, KeyError, TypeError):
            pass
        if self._backend.key:
            text = text.replace(self._backend.key, "[key]")
        return " ".join(text.split())[:_MESSAGE_CHARS]


def session() -> aiohttp.ClientSession:
    """A session without a limit on connections, which would hold requests back unnoticed.

    Each request has its own connection: if a server closed a kept one just as a request went out,
    that would look like a failure of the server.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True, ssl=client_context()),
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
            watch.fail("an event whose shape is not OpenAI's")
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
    """The choices of an event; ``None`` where the event does not have OpenAI's shape."""
    choices = (event.get("choices") or []) if isinstance(event, dict) else None
    if not isinstance(choices, list):
        return None
    valid = all(isinstance(c, dict) and isinstance(c.get("delta") or {}, dict) for c in choices)
    return choices if valid else None


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
