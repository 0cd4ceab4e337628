"""A site runs from its own files, and loses no request that has not begun to stream.

nginx, Stoker's gateways, vllm-router, PostgreSQL and Redis are real, with the configuration that
``stoker deploy`` wrote; replicas are stand-ins that stream answers of known length.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support import deployment_sites, postgres_server
from tests.support.deployed_site import RunningSite
from tests.support.redis_server import RedisServer

from stoker.application import deployment_site
from stoker.application.deployment_site import SiteRecord

pytestmark = pytest.mark.databases

_CLIENTS = 6


def record(**changes: Any) -> SiteRecord:
    """Two replicas of a model on the CPU, and two gateways."""
    return replace(deployment_sites.record("cpu", "systemd"), **changes)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[RunningSite]:
    redis = RedisServer(folder)
    redis.start()
    with postgres_server.running() as postgres:
        site = RunningSite.written(folder, deployment_site.rendered(record()))
        secrets = folder / "secrets/gateway.env"
        kept = [
            line
            for line in secrets.read_text().splitlines()
            if not line.startswith(("USAGE", "LIMITS"))
        ]
        stores = [f"USAGE_DATABASE={postgres.url}", f"LIMITS_STORE={redis.url}"]
        secrets.write_text("\n".join([*kept, *stores]) + "\n")
        try:
            await site.start_all()
            yield site
        finally:
            await site.close()
            redis.stop()


@dataclass
class Load:
    """Clients that ask one chat after the other, and what became of each."""

    site: RunningSite
    model: str
    ended: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _over: bool = False

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        head = {"Authorization": f"Bearer {self.site.key}"}
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(headers=head, connector=connector) as http:
            clients = [asyncio.create_task(self._ask(http, n)) for n in range(_CLIENTS)]
            try:
                yield
            finally:
                self._over = True
                await asyncio.gather(*clients)

    async def _ask(self, http: aiohttp.ClientSession, client: int) -> None:
        turn = 0
        while not self._over:
            turn += 1
            text = f"client {client}: " + "the same beginning " * 20 + f"turn {turn}"
            body = {
                "model": self.model,
                "stream": True,
                "messages": [{"role": "user", "content": text}],
            }
            self.ended[await self._chat(http, body)] += 1

    async def _chat(self, http: aiohttp.ClientSession, body: dict[str, Any]) -> str:
        seen = b""
        try:
            async with http.post(f"{self.site.endpoint}/v1/chat/completions", json=body) as answer:
                if answer.status != 200:
                    self.faults.append(f"{answer.status} {(await answer.text())[:200]}")
                    await asyncio.sleep(0.2)
                    return "refused"
                async for part in answer.content.iter_any():
                    seen += part
        except aiohttp.ClientError as error:
            if b"content" not in seen:
                self.faults.append(repr(error))
                return "refused"
        return "whole" if b"[DONE]" in seen else "broken off"


async def test_parts_that_are_killed_cost_no_request_that_has_not_begun(tmp_path: Path) -> None:
    model = record().plan.model.served_name
    async with running(tmp_path) as site:
        load = Load(site, model)
        async with load.asking():
            for unit in ("stoker-replica@1", "stoker-gateway@1", "stoker-router@1"):
                await asyncio.sleep(4)
                await site.kill(unit)
                await asyncio.sleep(4)
                await site.start(unit)
            await asyncio.sleep(4)
    assert load.faults == []
    assert load.ended["whole"] > 5 * _CLIENTS


async def test_upgrade_to_another_model_loses_no_request_and_cuts_none(tmp_path: Path) -> None:
    before = record()
    async with running(tmp_path) as site:
        old = before.plan.model.served_name
        model = replace(before.plan.model, id="example/new", served_name="new")
        after = record(plan=replace(before.plan, model=model), earlier_models=(old,))
        load = Load(site, old)
        async with load.asking():
            await asyncio.sleep(2)
            site.rewrite(deployment_site.rendered(after))
            printed = await site.upgrade()
            await asyncio.sleep(2)
        assert "Done" in printed
        assert load.faults == []
        assert load.ended["broken off"] == 0
        assert load.ended["whole"] > 5 * _CLIENTS
        assert await site.models() == {"new", old}
