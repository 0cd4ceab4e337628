"""Stands between the gateway and llama.cpp, and keeps or answers what would be generated.

Generation takes hours on two cores and minutes on sixteen, so it is a step of its own
(``completion_answers.py``). Tokenization and the rest go to the real engine. While it records, each
request is answered at once with one letter; afterwards with what the model wrote for it.

A request is known by its prompt alone. Greedy answers with and without ``stop`` begin alike, so
one answer, written to ``MOST_TOKENS``, serves every choice of where to stop.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

_STARTED_S = 60.0
_GENERATING = ("/completion", "/v1/completions", "/infill")
#: What an answer is read from: the prompt, not how much of the answer is wanted.
_PROMPT = ("prompt", "input_prefix", "input_suffix", "input_extra", "samplers", "top_k")
_PLACEHOLDER = "x"


def key(body: Mapping[str, Any]) -> str:
    """The name of a request's prompt."""
    prompt = json.dumps({name: body[name] for name in _PROMPT if name in body}, sort_keys=True)
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, with the natural logarithm of its probability."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote; ``ended``: to its own end."""

    tokens: tuple[Token, ...]
    ended: bool


def answer_of(line: Mapping[str, Any]) -> Answer:
    """An answer as ``completion_answers.py`` writes it."""
    tokens = tuple(Token(*each) for each in line["tokens"])
    return Answer(tokens, line["stop_type"] == "eos")


@dataclass(slots=True)
class Recorder:
    """What was asked of the engine, in order; with ``answers``, what it says to that."""

    answers: Mapping[str, Answer] | None = None
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    _session: str = ""
    _way: str = ""
    _order: int = 0

    def begin(self, session: str, way: str) -> None:
        """What follows is asked by one way in one session."""
        self._session, self._way, self._order = session, way, 0

    def answer(self, path: str, body: dict[str, Any]) -> tuple[str, bool]:
        """The text for a request, and whether the model came to an end. Raises ``KeyError``."""
        if body.get("n_predict", body.get("max_tokens")) in (0, 1):
            return _PLACEHOLDER, True  # lets the engine read ahead, or asks how it writes a prompt
        name = key(body)
        if self.answers is None:
            self._keep(name, path, body)
            return _PLACEHOLDER, True
        return stopped(self.answers[name], body)

    def _keep(self, name: str, path: str, body: dict[str, Any]) -> None:
        self._order += 1
        place = {"session": self._session, "way": self._way, "order": self._order}
        self.requests.setdefault(name, {"key": name, **place, "path": path, "body": body})


def stopped(answer: Answer, body: Mapping[str, Any]) -> tuple[str, bool]:
    """What the engine would have written with the request's own ``stop`` and token limit."""
    tokens = answer.tokens
    most = int(body.get("n_predict", body.get("max_tokens", len(tokens))))
    text = "".join(token.text for token in tokens[:most])
    ends = [text.index(each) for each in body.get("stop") or () if each in text]
    if ends:
        return text[: min(ends)], True
    return text, answer.ended and len(tokens) <= most


@contextmanager
def between(engine_url: str, recorder: Recorder) -> Iterator[str]:
    """The address of a server that passes on to the engine what is not generation."""
    loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with aiohttp.ClientSession() as http:
            app = web.Application(client_max_size=2**26)
            app.router.add_route("*", "/{path:.*}", _handler(http, engine_url, recorder))
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            started.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    if not started.wait(_STARTED_S):
        raise RuntimeError("The recorder did not start.")
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=_STARTED_S)


def _handler(http: aiohttp.ClientSession, engine_url: str, recorder: Recorder) -> Any:
    async def handle(request: web.Request) -> web.StreamResponse:
        data = await request.read()
        if request.path not in _GENERATING:
            return await _passed_on(http, engine_url, request, data)
        body = json.loads(data)
        try:
            text, finished = recorder.answer(request.path, body)
        except KeyError:
            return web.json_response({"error": {"code": 501, "message": "no answer"}}, status=501)
        return await _answered(request, body, text, finished)

    return handle


async def _passed_on(
    http: aiohttp.ClientSession, engine_url: str, request: web.Request, data: bytes
) -> web.Response:
    headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
    url = f"{engine_url}{request.path_qs}"
    async with http.request(request.method, url, data=data or None, headers=headers) as answer:
        return web.Response(
            body=await answer.read(), status=answer.status, content_type=answer.content_type
        )


async def _answered(
    request: web.Request, body: Mapping[str, Any], text: str, finished: bool
) -> web.StreamResponse:
    event = _event(request.path, text, finished)
    if not body.get("stream"):
        return web.json_response(event)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\ndata: [DONE]\n\n")
    return response


def _event(path: str, text: str, finished: bool) -> dict[str, Any]:
    if path == "/v1/completions":
        reason = "stop" if finished else "length"
        choice = {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
        return {"object": "text_completion", "model": "qwen", "choices": [choice]}
    ending = {"stop_type": "eos" if finished else "limit", "tokens_evaluated": 1}
    return {"content": text, "stop": True, "index": 0, "tokens_predicted": 2, **ending}
