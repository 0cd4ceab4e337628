"""A site runs from its own files, and loses no request that has not begun to stream.

nginx, Stoker's gateways, vllm-router, PostgreSQL and Redis are real, with the configuration that
``stoker deploy`` wrote; replicas are stand-ins that stream answers of known length.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support import deployment_sites, postgres_server
from tests.support.deployed_site import RunningSite
from tests.support.redis_server import RedisServer
from tests.support.site_load import Load

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


async def test_parts_that_are_killed_cost_no_request_that_has_not_begun(tmp_path: Path) -> None:
    model = record().plan.model.served_name
    async with running(tmp_path) as site:
        load = Load(site.endpoint, site.key, model, _CLIENTS)
        async with load.asking():
            for unit in ("stoker-replica@1", "stoker-gateway@1", "stoker-router@1"):
                await asyncio.sleep(4)
                await site.kill(unit)
                await asyncio.sleep(4)
                await site.start(unit)
            await asyncio.sleep(4)
        for unit in ("stoker-replica@1", "stoker-replica@2"):
            await site.kill(unit)
        refused = Load(site.endpoint, site.key, model, 2)
        async with refused.asking():
            await asyncio.sleep(2)
    assert load.faults == []
    assert load.ended["whole"] > 5 * _CLIENTS
    # Without a replica each refusal is a gateway's, with its reason, and none is nginx's page.
    assert len(refused.faults) > 2
    assert all('"error"' in fault for fault in refused.faults), refused.faults


async def test_conversation_stays_with_the_replica_that_has_read_it(tmp_path: Path) -> None:
    """Through two gateways and two routers, which know nothing of each other."""
    model = record().plan.model.served_name
    head = {"Authorization": ""}
    async with running(tmp_path) as site:
        head["Authorization"] = f"Bearer {site.key}"
        async with aiohttp.ClientSession(headers=head) as http:

            async def conversation(number: int) -> None:
                turns = [{"role": "user", "content": f"question {number}"}]
                for turn in range(4):
                    body = {"model": model, "messages": turns, "stream": True}
                    url = f"{site.endpoint}/v1/chat/completions"
                    async with http.post(url, json=body) as answer:
                        assert b"[DONE]" in await answer.read()
                    turns = [*turns, {"role": "user", "content": f"go on {turn}"}]

            await asyncio.gather(*map(conversation, range(20)))
        one, other = [await site.first_questions(number) for number in (1, 2)]
    assert len(one | other) == 20
    assert one & other == set()
    assert one and other


async def test_upgrade_to_another_model_loses_no_request_and_cuts_none(tmp_path: Path) -> None:
    before = record()
    async with running(tmp_path) as site:
        old = before.plan.model.served_name
        model = replace(before.plan.model, id="example/new", served_name="new")
        after = record(plan=replace(before.plan, model=model), earlier_models=(old,))
        load = Load(site.endpoint, site.key, old, _CLIENTS)
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
