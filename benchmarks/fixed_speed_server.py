"""A server of known speed, to measure what ``stoker bench`` itself adds to its figures.

``python benchmarks/fixed_speed_server.py`` prints its address. It answers two requests at once,
reads a token (4 characters) in 1.2 ms, writes one in 10 ms, and has no cache.
"""

from __future__ import annotations

import asyncio

import orjson
from aiohttp import web

READ_S, WRITE_S, SLOTS = 0.0012, 0.01, 2
MODEL = "fixed"


def _event(choice: dict[str, object], **fields: object) -> bytes:
    return b"data: " + orjson.dumps({"choices": [{"index": 0, **choice}], **fields}) + b"\n\n"


def application() -> web.Application:
    """The application."""
    slots = asyncio.Semaphore(SLOTS)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": MODEL, "max_model_len": 8192}]})

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        prompt = len(str(asked.get("messages", asked.get("prompt")))) // 4
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async with slots:
            await asyncio.sleep(prompt * READ_S)
            for number in range(asked["max_tokens"]):
                await asyncio.sleep(WRITE_S if number else 0)
                await response.write(_event({"text": "x", "delta": {"content": "x"}}))
        usage = {"prompt_tokens": prompt, "completion_tokens": asked["max_tokens"]}
        await response.write(_event({"delta": {}, "finish_reason": "length"}, usage=usage))
        await response.write(b"data: [DONE]\n\n")
        return response

    app = web.Application(client_max_size=2**26)
    app.router.add_get("/v1/models", models)
    for path in ("/v1/chat/completions", "/v1/completions"):
        app.router.add_post(path, answer)
    return app


async def main() -> None:
    """Serve until the process ends."""
    runner = web.AppRunner(application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
