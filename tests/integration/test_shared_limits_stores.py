"""Two gateways that share their limits in a real Redis or PostgreSQL, also while it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol

import orjson
import pytest
from tests.support import postgres_server
from tests.support.redis_server import RedisServer
from tests.unit.gateway.backends import MODEL, Call, Front, answer, front, running

from stoker.access.api_keys import Keys, hash_of
from stoker.access.caller import Caller, CallerLimits
from stoker.engines import Backend, ServedModel
from stoker.gateway import Gateway, Served
from stoker.gateway.limiting import limits_store
from stoker.gateway.limiting.counters import Charge, Counter, Outcome
from stoker.gateway.limiting.shared_counters import SharedCounters
from stoker.gateway.limiting.use_windows import DAY
from stoker.gateway.usage.metrics import Metrics

pytestmark = pytest.mark.databases

KEY = {"Authorization": "Bearer ann-key"}
PROMPT_TOKENS, ANSWER_TOKENS = 150, 50
#: 4 bytes a token, as the gateway estimates it where nothing counts.
CHAT = orjson.dumps(
    {
        "model": MODEL,
        "messages": [{"role": "user", "content": "word " * (PROMPT_TOKENS * 4 // 5)}],
        "max_tokens": ANSWER_TOKENS,
    }
)


class StoreServer(Protocol):
    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


@pytest.fixture(params=["redis", "postgresql"], scope="module")
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreServer]:
    """A store that runs, for all tests: each has an owner of its own."""
    if request.param == "postgresql":
        with postgres_server.running() as postgres:
            yield postgres
        return
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis
    redis.stop()


async def whole(call: Call) -> None:
    """An answer with its usage."""
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": ANSWER_TOKENS}
    message = {"role": "assistant", "content": "hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await asyncio.sleep(0.01)
    await call.send(answer(orjson.dumps({"choices": [choice], "usage": usage})))


@contextlib.asynccontextmanager
async def two_gateways(url: str, **limits: int) -> AsyncIterator[list[Front]]:
    """Two gateways in front of one backend, with one key, and their limits in one store."""
    ann = Caller(f"ann {uuid.uuid4()}", "k1", limits=CallerLimits(**limits))
    async with contextlib.AsyncExitStack() as ending:
        (backend,) = await ending.enter_async_context(running(whole))
        fronts = []
        for _ in range(2):
            keys = Keys({hash_of("ann-key"): ann})
            gateway = Gateway(keys, counters=partial(limits_store.counters, url))
            gateway.serve([Served(Backend(backend.url, "openai"), [ServedModel(MODEL)])])
            fronts.append(await ending.enter_async_context(front(gateway)))
        yield fronts


async def statuses(
    fronts: list[Front], clients: int, is_over: Callable[[list[int]], bool]
) -> list[int]:
    """What clients of both gateways are answered, until it is over."""
    found: list[int] = []

    async def client(number: int) -> None:
        while not is_over(found):
            reply = await fronts[number % 2].post(CHAT, headers=KEY)
            found.append(reply.status)

    await asyncio.gather(*map(client, range(clients)))
    return found


async def test_requests_of_two_gateways_stay_within_one_limit(store: StoreServer) -> None:
    async with two_gateways(store.url, requests_per_minute=200, max_concurrent=40) as fronts:
        found = await statuses(fronts, 20, lambda found: len(found) >= 300)
        assert found.count(200) == 200
        assert set(found) == {200, 429}


async def test_tokens_of_two_gateways_stay_within_two_percent(store: StoreServer) -> None:
    async with two_gateways(store.url, tokens_per_minute=20_000) as fronts:
        found = await statuses(fronts, 8, lambda found: found[-30:] == [429] * 30)
        used = found.count(200) * (PROMPT_TOKENS + ANSWER_TOKENS)
        assert 19_600 <= used <= 20_400


async def test_requests_at_the_same_time_stay_within_one_limit(store: StoreServer) -> None:
    async with two_gateways(store.url, max_concurrent=4) as fronts:
        found = await statuses(fronts, 4, lambda found: len(found) >= 100)
        assert set(found) == {200}, "what ends gives its place back at once"
        found = await statuses(fronts, 12, lambda found: len(found) >= 100)
        assert 429 in found


async def test_what_a_clock_that_was_ahead_has_counted_is_forgotten(store: StoreServer) -> None:
    counter = Counter(f"ahead {uuid.uuid4()}", "tokens", 10, DAY)
    charges = [Charge(counter, DAY.bucket(time.time()) + days, 10) for days in (4000, 0, 0)]
    counters = limits_store.counters(store.url, Metrics())
    await counters.start()
    assert [(await counters.take([each])).taken for each in charges] == [True, True, False]
    await counters.close()


async def test_no_request_fails_or_waits_while_the_store_is_killed_and_back(
    store: StoreServer,
) -> None:
    async with two_gateways(store.url, requests_per_minute=10**6, tokens_per_day=10**9) as fronts:
        longest = 0.0

        async def asked(until: Callable[[], Awaitable[bool]]) -> None:
            """Ask both gateways, for half a second and until something is so."""
            nonlocal longest
            began = time.monotonic()
            while time.monotonic() < began + 0.5 or not await until():
                assert time.monotonic() < began + 20
                for served in fronts:
                    sent = time.monotonic()
                    assert (await served.post(CHAT, headers=KEY)).status == 200
                    longest = max(longest, time.monotonic() - sent)

        async def are_up() -> bool:
            return {await _is_up(served) for served in fronts} == {True}

        async def are_down() -> bool:
            return {await _is_up(served) for served in fronts} == {False}

        await asked(are_up)
        store.stop()
        await asked(are_down)
        await asyncio.to_thread(store.start)
        await asked(are_up)
        assert longest < 2.0, "a request waits for the store for a second at most, once"


async def test_store_that_is_back_is_not_lost_again_with_its_old_connections(
    store: StoreServer,
) -> None:
    counter = Counter(f"many {uuid.uuid4()}", "requests", 10**6, DAY)
    changes: list[bool] = []
    counters = SharedCounters(limits_store.store(store.url), changes.append)
    await counters.start()

    async def at_once(count: int) -> list[Outcome]:
        charge = Charge(counter, DAY.bucket(time.time()), 1)
        return await asyncio.gather(*(counters.take([charge]) for _ in range(count)))

    await at_once(30)
    await asyncio.to_thread(store.stop)
    await at_once(1)
    await asyncio.to_thread(store.start)
    deadline = time.monotonic() + 30
    while not changes[-1]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    for _ in range(3):
        await at_once(30)
    assert changes == [False, True, False, True]
    (outcome,) = await at_once(1)
    assert outcome.uses[0].total == 30 + 1 + 3 * 30 + 1, "each counted once"
    await counters.close()


async def _is_up(served: Front) -> bool:
    async with served.http.get(served.url + "/metrics", headers=KEY) as response:
        lines = (await response.text()).splitlines()
    (line,) = (line for line in lines if line.startswith("stoker_limits_store_up{"))
    return line.endswith(" 1.0")
