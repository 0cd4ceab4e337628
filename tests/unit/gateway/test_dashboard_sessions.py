"""Sessions, tries and errors are bounded, and end when they should."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import aiohttp
import pytest
from tests.support.shown_gateways import MODEL, SmallVllm, store_with
from tests.support.usage_rows import row

from stoker.access.api_keys import Keys, KnownKey, hash_of
from stoker.access.caller import Caller
from stoker.engines import Backend, ServedModel
from stoker.engines.kv_cache_use import kv_cache_use
from stoker.gateway.dashboard.dashboard_sessions import SESSION_S, DashboardSessions
from stoker.gateway.dashboard.kv_cache_watch import KvCacheWatch
from stoker.gateway.dashboard.sign_in_limit import MOST_TRIES, SignInLimit
from stoker.gateway.dashboard.usage_overview import UsageReader, read_overview
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.usage.recent_errors import ErrorKind, RecentErrors, safe_code
from stoker.usage_records import UsageStore

ANN = Caller("ann", role="viewer")
KEYS = Keys({hash_of("ann's key"): ANN, hash_of("ben's key"): Caller("ben", role="admin")})


class Clock:
    """A time that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_session_ends_after_its_time() -> None:
    clock = Clock()
    sessions = DashboardSessions(clock)
    token = sessions.begin("ann's key")
    clock.now = SESSION_S - 1
    assert sessions.caller(token, KEYS) == ANN
    clock.now = SESSION_S
    assert sessions.caller(token, KEYS) is None


def test_session_ends_with_its_key() -> None:
    clock = Clock()
    key = KnownKey(bytes.fromhex(hash_of("new")), ANN, expires_at=100.0)
    sessions = DashboardSessions(clock)
    token = sessions.begin("new")
    assert sessions.caller(token, Keys({}, [key], now=lambda: 99.0)) == ANN
    assert sessions.caller(token, Keys({}, [key], now=lambda: 100.0)) is None
    assert sessions.caller(token, KEYS) is None


def test_sessions_are_bounded_and_one_key_pushes_no_other_out() -> None:
    sessions = DashboardSessions(Clock())
    bens = sessions.begin("ben's key")
    anns = [sessions.begin("ann's key") for _ in range(5000)]
    assert sessions.caller(bens, KEYS) is not None
    assert sessions.caller(anns[0], KEYS) is None
    assert sum(sessions.caller(token, KEYS) is not None for token in anns) == 20


def test_no_token_is_another_ones() -> None:
    sessions = DashboardSessions(Clock())
    token = sessions.begin("ann's key")
    for wrong in ("", token[:-1], token + "x", token.swapcase(), hash_of(token), "\udcff"):
        assert sessions.caller(wrong, KEYS) is None
    sessions.end(token)
    sessions.end(token)
    assert sessions.caller(token, KEYS) is None


def test_address_may_try_again_after_a_minute() -> None:
    clock = Clock()
    limit = SignInLimit(clock)
    for _ in range(MOST_TRIES):
        assert limit.wait_s("10.0.0.1") == 0
        limit.note("10.0.0.1")
    assert limit.wait_s("10.0.0.1") == 60
    assert limit.wait_s("10.0.0.2") == 0
    clock.now = 60
    assert limit.wait_s("10.0.0.1") == 0


@pytest.mark.parametrize(
    ("tries", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        (None, "", True),
    ],
)
def test_addresses_of_one_home_count_together(tries: str | None, other: str, same: bool) -> None:
    limit = SignInLimit(Clock())
    for _ in range(MOST_TRIES):
        limit.note(tries)
    assert (limit.wait_s(other) > 0) == same


def test_equal_errors_are_one_entry_and_the_oldest_kinds_go() -> None:
    clock = Clock()
    errors = RecentErrors(clock)
    errors.note(ErrorKind("first"))
    for number in range(500):
        clock.now = number
        errors.note(ErrorKind("busy", 429))
        errors.note(ErrorKind("other", number))
    assert len(errors.latest()) == 100
    busy = next(seen for seen in errors.latest() if seen.kind.code == "busy")
    assert (busy.count, busy.first_at, busy.last_at) == (500, 0, 499)


@pytest.mark.parametrize("code", ["a prompt", "x" * 41, "Ünï", "<b>", None, ""])
def test_code_that_may_be_content_is_not_kept(code: str | None) -> None:
    assert safe_code(code) == ""


def test_usage_has_today_and_the_month_those_with_the_most_first(tmp_path: Path) -> None:
    store = store_with(tmp_path, ["ann"], requests=1)
    day, month = 1_700_006_400_000, 1_698_796_800_000  # 2023-11-15 and 2023-11-01, both at 0:00
    rows = [row(arrived_ms=at, owner="old") for at in (month - 1, month, day - 1)]
    rows += [row(arrived_ms=day, owner="new", prompt_tokens=1)]
    store.write(list(enumerate(rows, start=1000)))
    seen = read_overview(store, day / 1000 + 3600)
    old, new = (next(o for o in seen.owners if o.owner == name) for name in ("old", "new"))
    assert (old.today, old.month.requests) == (None, 2)
    assert new.today is not None
    assert new.today.requests == 1
    assert [o.owner for o in seen.owners] == ["ann", "old", "new"]


class SlowStore(UsageStore):
    """A database that answers when it is let."""

    def __init__(self) -> None:
        self.reads = 0
        self.go_on = threading.Event()

    @property
    def exists(self) -> bool:
        self.reads += 1
        self.go_on.wait(5)
        return False


async def test_slow_database_keeps_no_page_waiting_and_is_asked_once() -> None:
    store, clock = SlowStore(), Clock()
    reader = UsageReader(clock=clock, patience_s=0.01)
    pages = await asyncio.gather(*(reader.overview(store) for _ in range(50)))
    assert {page.availability for page in pages} == {"waiting"}
    store.go_on.set()
    await asyncio.sleep(0.05)
    assert (await reader.overview(store)).availability == "none"
    assert (await reader.overview(store)).availability == "none"
    assert store.reads == 1
    clock.now = 100
    await reader.overview(store)
    assert store.reads == 2


async def test_kv_cache_is_asked_once_for_all_pages_and_only_where_it_can_be() -> None:
    clock = Clock()
    with SmallVllm() as server:
        backends = [
            PooledBackend(Backend(url, "vllm"), ()) for url in (server.url, "http://[::1]:9")
        ]
        backends.append(PooledBackend(Backend(server.url, "openai"), ()))
        watch = KvCacheWatch(clock)
        async with aiohttp.ClientSession() as http:
            assert await watch.uses(http, backends) == {backends[0]: 0.37}
            backends[0].healthy = False
            assert await watch.uses(http, backends) == {}


async def test_kv_cache_of_llama_cpp_is_not_asked_while_it_works() -> None:
    async with aiohttp.ClientSession() as http:
        nowhere = Backend("http://127.0.0.1:9", "llama.cpp")
        models = [ServedModel(MODEL, max_model_len=1000, parallel=2)]
        assert await kv_cache_use(http, nowhere, models, idle=False) is None
        with pytest.raises(aiohttp.ClientError):
            await kv_cache_use(http, nowhere, models, idle=True)
