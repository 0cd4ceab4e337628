"""Stands in for vLLM behind the real router: its paths, its metrics, and answers of known length.

What a test of a site needs of a replica is that it streams for a while, asks for its key, and
reports at ``/metrics`` how much it does. The arguments are vLLM's; only a few of them are read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
EVENTS = 12
_EVENT_S = 0.1


class Replica:
    """One replica, which serves its model under every name that it was given."""

    def __init__(self, names: list[str], key: str) -> None:
        self._names = names
        self._key = key
        self._running = 0
        self._first_questions: set[str] = set()

    def app(self) -> web.Application:
        """Its paths, of which only ``/health`` is open."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/tokenize", self._tokenize)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization")
        if request.path != "/health" and given != f"Bearer {self._key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        return await handler(request)

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _models(self, _: web.Request) -> web.Response:
        rows = [
            {"id": n, "object": "model", "owned_by": "vllm", "max_model_len": 8192}
            for n in self._names
        ]
        return web.json_response({"object": "list", "data": rows})

    async def _metrics(self, _: web.Request) -> web.Response:
        lines = [
            f'vllm:num_requests_running{{engine="0"}} {float(self._running)}',
            'vllm:num_requests_waiting{engine="0"} 0.0',
            *[f"# {question}" for question in self._first_questions],
        ]
        return web.Response(text="\n".join(lines) + "\n")

    async def _tokenize(self, request: web.Request) -> web.Response:
        text = json.dumps((await request.json()).get("messages", ""))
        return web.json_response({"count": len(text) // 4, "max_model_len": 8192})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body.get("model") not in self._names:
            return web.json_response({"error": {"message": "does not exist"}}, status=404)
        self._first_questions.add(body["messages"][0]["content"])
        self._running += 1
        try:
            return await self._stream(request)
        finally:
            self._running -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await asyncio.sleep(_EVENT_S)
        await answer.prepare(request)
        for number in range(EVENTS):
            last = number == EVENTS - 1
            choice = {
                "index": 0,
                "delta": {"role": "assistant", "content": f"{self._names[0]} "},
                "finish_reason": "stop" if last else None,
            }
            event = {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": self._names[0],
                "choices": [choice],
            }
            await answer.write(f"data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(_EVENT_S)
        usage = {"prompt_tokens": 10, "completion_tokens": EVENTS, "total_tokens": 10 + EVENTS}
        await answer.write(
            f"data: {json.dumps({**event, 'choices': [], 'usage': usage})}\n\n".encode()
        )
        await answer.write(b"data: [DONE]\n\n")
        return answer


def main() -> None:
    """Serve until it is stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options, _ = parser.parse_known_args()
    replica = Replica(options.served_model_name, os.environ["VLLM_API_KEY"])
    web.run_app(replica.app(), host=options.host, port=options.port, print=None)


if __name__ == "__main__":
    main()
