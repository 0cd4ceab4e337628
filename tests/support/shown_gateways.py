"""Real gateways in states that the dashboard must show well: busy, crowded, new, down.

The engines behind them are small servers; what the pages show comes from real requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from aiohttp import web
from tests.support.background_server import BackgroundRunner, BackgroundServer
from tests.support.usage_rows import row

from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller
from stoker.engines import Backend, ServedModel
from stoker.errors import Problem
from stoker.gateway import DeploymentFacts, Gateway, Served
from stoker.usage_records import UsageStore
from stoker.usage_records.sqlite_database import SqliteDatabase

ADMIN, VIEWER, USER = "admin's key", "viewer's key", "user's key"
MODEL = "qwen3-coder-30b-a3b-instruct"
#: Names that a page may break on.
ODD_OWNERS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "אבי כהן",
    "فريق البيانات",
    "evil\u202egnp.exe",
    "build-agent-" + "x" * 120,
    "{{ 7 * 7 }}",
    "Zoë 🚀",
)


def keys() -> Keys:
    """One key of each role."""
    roles = {ADMIN: "admin", VIEWER: "viewer", USER: "user"}
    return Keys({hash_of(key): Caller(role, role, role) for key, role in roles.items()})  # type: ignore[arg-type]


class SmallVllm(BackgroundServer):
    """Answers chats, and reports as vLLM does how full its cache is."""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text='vllm:kv_cache_usage_perc{model_name="m",engine="0"} 0.37\n')

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        asked = body["messages"][-1]["content"]
        if asked == "refuse":
            return web.json_response({"object": "error", "message": "no", "code": 400}, status=400)
        if asked == "fail":
            return web.Response(status=500, text="boom")
        await asyncio.sleep(0.03)
        usage = {
            "prompt_tokens": 1800,
            "completion_tokens": 240,
            "prompt_tokens_details": {"cached_tokens": 1200},
        }
        message = {"role": "assistant", "content": "done"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": usage})


class ShownGateway(BackgroundRunner):
    """A gateway for as long as the ``with`` lasts."""

    def __init__(
        self,
        backends: Sequence[str] = (),
        *,
        with_keys: bool = True,
        usage: UsageStore | None = None,
        deployment: DeploymentFacts | None = None,
    ) -> None:
        super().__init__()
        self.gateway = Gateway(keys() if with_keys else None)
        self._usage = usage
        models = [ServedModel(MODEL, max_model_len=131_072, parallel=16)]
        self.gateway.serve([Served(Backend(url, "vllm"), models) for url in backends])
        if deployment is not None:
            self.gateway.belong_to(lambda: deployment)

    def runner(self) -> web.BaseRunner:
        self.gateway.record_usage(self._usage, 400)
        return self.gateway.runner()

    def chats(self, *contents: str) -> None:
        """Sends a chat for each, as the owner ``user``."""
        asyncio.run(self._chats(contents))

    async def _chats(self, contents: Sequence[str]) -> None:
        headers = {"Authorization": f"Bearer {USER}"}
        async with aiohttp.ClientSession(self.url, headers=headers) as http:
            for content in contents:
                body = {"model": MODEL, "messages": [{"role": "user", "content": content}]}
                async with http.post("/v1/chat/completions", json=body) as response:
                    await response.read()


def store_with(folder: Path, owners: Sequence[str], requests: int = 3) -> UsageStore:
    """A store in which each of these owners asked today, the first the most."""
    store = UsageStore(SqliteDatabase(folder / "usage.db"))
    now = int(time.time() * 1000)
    rows = [
        row(arrived_ms=now, owner=owner, prompt_tokens=12_000 * (len(owners) - at), status=status)
        for at, owner in enumerate(owners)
        for status in (200, 200, 500)[:requests]
    ]
    store.write(list(enumerate(rows, start=1)))
    return store


def crashed() -> DeploymentFacts:
    """A deployment whose engine is being started again."""
    problem = Problem(
        "The engine vllm stopped.",
        "Out of GPU memory: the model needs 21.4 GiB and 19.9 GiB are free.",
        "Run: stoker up qwen3-coder --context 32768",
    )
    now = time.time()
    return DeploymentFacts(MODEL, "vllm", "restarting", now - 7200, now - 7000, 2, problem)


def running() -> DeploymentFacts:
    """A deployment that is well."""
    now = time.time()
    return DeploymentFacts(MODEL, "vllm", "ready", now - 275_000, now - 274_800)
