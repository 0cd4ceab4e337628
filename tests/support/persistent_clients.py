"""Clients that know two gateways, and what became of each of their requests.

A real client reaches several gateways through a proxy, which sends a request to the next one where
the first refuses the connection, breaks it off before any byte of an answer, or answers 503. These
do so by themselves. What had begun is never asked for again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

DONE = b"data: [DONE]\n\n"
_ERROR = b'data: {"error":'
#: Tries of one request over both gateways, and the pause after each.
_TRIES, _PAUSE_S = 40, 0.25
_WAIT_S = 60.0
#: Between two requests of one client.
_THINKS_S = (0.3, 1.5)

ANSWERED, LIMITED, BROKE_OFF, CUT = "answered", "limited", "broke off", "cut with its gateway"


@dataclass
class Attempt:
    """One try that got no answer: when it ended, and why."""

    gateway: int
    ended_at: float
    reason: str


@dataclass
class AskedRequest:
    """One request of a client, as the client saw it. Times are seconds since 1970."""

    session: str
    owner: str
    streamed: bool
    sent_at: float
    ended_at: float = 0.0
    gateway: int = -1
    #: One of the words above, or what is wrong with it.
    outcome: str = ""
    tokens: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    retry_after_s: float = 0.0


@dataclass
class PersistentClient:
    """One client, which asks until it is over and notes every request."""

    number: int
    owner: str
    urls: Sequence[str]
    http: aiohttp.ClientSession
    model: str
    log: list[AskedRequest]

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Ask one request after the other."""
        asked = 0
        draws = random.Random(self.number)
        gateway = self.number % len(self.urls)
        while not is_over():
            asked += 1
            request = AskedRequest(
                f"c{self.number}-{asked}", self.owner, asked % 2 == 0, time.time(), gateway=gateway
            )
            self.log.append(request)
            await self._ask(request)
            gateway = request.gateway
            await asyncio.sleep(request.retry_after_s or draws.uniform(*_THINKS_S))

    async def _ask(self, request: AskedRequest) -> None:
        for _ in range(_TRIES):
            request.sent_at = time.time()
            reason = await self._try(request)
            request.ended_at = time.time()
            if not reason:
                return
            request.attempts.append(Attempt(request.gateway, request.ended_at, reason))
            request.gateway = (request.gateway + 1) % len(self.urls)
            await asyncio.sleep(_PAUSE_S if len(request.attempts) > 1 else 0)
        request.outcome = f"no gateway answered: {request.attempts[-1].reason}"

    async def _try(self, request: AskedRequest) -> str:
        """Why the other gateway is to be asked; empty where the request has an outcome."""
        try:
            async with self.http.post(
                self.urls[request.gateway] + "/v1/chat/completions",
                data=_body(self.model, request),
                headers={
                    "Authorization": f"Bearer {self.owner}",
                    "Content-Type": "application/json",
                    "x-session-id": request.session,
                },
                timeout=aiohttp.ClientTimeout(total=_WAIT_S),
            ) as response:
                return await self._read(request, response)
        except aiohttp.ClientError as error:
            return type(error).__name__
        except asyncio.TimeoutError:
            request.outcome = f"no answer in {_WAIT_S} s"
            return ""

    async def _read(self, request: AskedRequest, response: aiohttp.ClientResponse) -> str:
        if response.status == 200 and request.streamed:
            await _read_stream(request, response)
            return ""
        body = await response.read()
        if response.status == 503:
            return f"503 {body[:200].decode()}"
        if response.status == 200:
            request.tokens = orjson.loads(body)["usage"]["total_tokens"]
            request.outcome = ANSWERED
        elif response.status == 429:
            request.retry_after_s = min(5.0, float(response.headers["Retry-After"]))
            request.outcome = LIMITED
        else:
            request.outcome = f"{response.status} {body[:300].decode()}"
        return ""


async def _read_stream(request: AskedRequest, response: aiohttp.ClientResponse) -> None:
    """Read a stream that began; whatever happens, it is not asked for again."""
    received = b""
    try:
        async for piece in response.content.iter_any():
            received += piece
    except aiohttp.ClientError:
        request.outcome = CUT if _whole_events(received) else f"a cut event: {received[-200:]!r}"
        return
    events = received.split(b"\n\n")
    if not received.endswith(DONE) or not _whole_events(received):
        request.outcome = f"a stream without its end: {received[-200:]!r}"
    elif any(event.startswith(_ERROR) for event in events):
        request.outcome = BROKE_OFF
    else:
        request.outcome, request.tokens = ANSWERED, _total_tokens(events)


def _whole_events(received: bytes) -> bool:
    """Whether it is made of whole events alone, each with readable JSON."""
    *events, rest = received.split(b"\n\n")
    for event in events:
        data = event.removeprefix(b"data: ")
        if data != b"[DONE]" and not event.startswith(b":"):
            orjson.loads(data)
    return rest == b""


def _total_tokens(events: Sequence[bytes]) -> int:
    usages = (orjson.loads(event[6:]).get("usage") for event in events if event[:7] == b"data: {")
    return next((int(usage["total_tokens"]) for usage in usages if usage), 0)


def _body(model: str, request: AskedRequest) -> bytes:
    asked: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": f"Count from 1 to 9. {request.session}"}],
        "max_tokens": 48 if request.streamed else 12,
        "stream": request.streamed,
    }
    if request.streamed:
        asked["stream_options"] = {"include_usage": True}
    return orjson.dumps(asked)
