"""Before the engine is stopped, answers that are under way may end, and no new ones begin."""

from __future__ import annotations

import asyncio
import json
import time

from tests.unit.gateway.backends import front

from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def gateway(in_flight: int) -> Gateway:
    door = Gateway()
    door.serve([Served(Backend("http://127.0.0.1:9", "openai"), [ServedModel("m")])])
    door.pool.backends[0].in_flight = in_flight
    return door


async def test_drain_ends_with_the_last_answer() -> None:
    door = gateway(in_flight=1)
    draining = asyncio.create_task(door.drain(within_s=30))
    await asyncio.sleep(0.1)
    assert not draining.done()
    door.pool.backends[0].in_flight = 0
    await asyncio.wait_for(draining, 10)


async def test_drain_gives_up_on_an_answer_that_does_not_end() -> None:
    began = time.monotonic()
    await asyncio.wait_for(gateway(in_flight=1).drain(within_s=0.2), 10)
    assert time.monotonic() - began >= 0.2


async def test_request_that_comes_while_draining_is_refused() -> None:
    door = gateway(in_flight=0)
    async with front(door) as served:
        await door.drain(within_s=0.1)
        assert (await served.post(json.dumps(CHAT))).status == 503
