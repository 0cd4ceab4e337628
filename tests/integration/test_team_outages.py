"""A team's gateways while each part that they need is killed and brought back in turn.

The parts are real: two llama.cpp engines, two gateways, PostgreSQL and Redis. 50 clients know both
gateways, as those behind a proxy do (``persistent_clients``). What is promised:

- no request fails that had not begun to stream;
- every stream that began ends well-formed: whole, or with an error event. Only those that a gateway
  held while it was killed with ``kill -9`` are cut, after a whole event;
- each answered request is one row of usage; a killed gateway loses those of its last second;
- no minute holds more than 102 % of a limit that both gateways share.

``STOKER_OUTAGES_S`` is how long the clients ask, in seconds: 90 here, 300 by hand.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from tests.support import real_models
from tests.support.one_layer import one_layer_gguf
from tests.support.persistent_clients import (
    ANSWERED,
    BROKE_OFF,
    CUT,
    LIMITED,
    AskedRequest,
    PersistentClient,
)
from tests.support.serving_team import MODEL, ServingTeam, serving_team

from stoker.usage_records import UsageRow, UsageStore
from stoker.usage_records.postgres_database import PostgresDatabase
from stoker.usage_records.usage_row import as_stored

pytestmark = pytest.mark.databases

LASTS_S = float(os.environ.get("STOKER_OUTAGES_S", "90"))
CLIENTS = 50
#: How many of the clients share a key that is limited in this way.
BY_TOKENS, BY_REQUESTS, BY_PLACES = 8, 6, 6
TOKENS_PER_MINUTE, REQUESTS_PER_MINUTE, PLACES = 5_000, 60, 3
LIMITS = f"""
[[limit]]
owner = "by_tokens"
tokens_per_minute = {TOKENS_PER_MINUTE}
[[limit]]
owner = "by_requests"
requests_per_minute = {REQUESTS_PER_MINUTE}
[[limit]]
owner = "by_places"
max_concurrent = {PLACES}
[[limit]]
owner = "dev*"
requests_per_minute = 100_000
tokens_per_minute = 100_000_000
tokens_per_month = 1_000_000_000
max_concurrent = 1000
"""
#: What a killed gateway may lose, in seconds, and what a busy machine may add to it.
LOST_S, BUSY_S = 1.0, 1.0
MOST = 1.02


def owner_of(number: int) -> str:
    if number < BY_TOKENS:
        return "by_tokens"
    if number < BY_TOKENS + BY_REQUESTS:
        return "by_requests"
    if number < BY_TOKENS + BY_REQUESTS + BY_PLACES:
        return "by_places"
    return f"dev{number}"


OWNERS = [owner_of(number) for number in range(CLIENTS)]


async def outages(team: ServingTeam, lasts_s: float) -> None:
    """Each part is killed and comes back, one after the other, over all of the time."""
    away_s = lasts_s / 40
    rests_s = lasts_s / 7 - away_s - 3  # what comes back takes up to 3 s

    async def database() -> None:
        await asyncio.to_thread(team.postgres.stop)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(team.postgres.start)

    async def limits_store() -> None:
        await asyncio.to_thread(team.redis.stop)
        await asyncio.sleep(away_s)
        await asyncio.to_thread(team.redis.start)

    await asyncio.sleep(rests_s)
    await team.engines[0].restart(signal.SIGKILL, away_s)
    await asyncio.sleep(rests_s)
    await limits_store()
    await asyncio.sleep(rests_s)
    await team.gateways[0].restart(signal.SIGKILL, away_s)
    await asyncio.sleep(rests_s)
    await database()
    await asyncio.sleep(rests_s)
    await team.engines[1].restart(signal.SIGKILL, away_s)
    await asyncio.sleep(rests_s)
    await team.gateways[1].restart(signal.SIGTERM, away_s)


async def asked_by_clients(team: ServingTeam) -> list[AskedRequest]:
    """All requests of 50 clients, which ask until the outages are over and a little longer."""
    log: list[AskedRequest] = []
    ends_at = time.time() + LASTS_S
    urls = [gateway.url for gateway in team.gateways]
    breaking = asyncio.create_task(outages(team, LASTS_S))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        clients = [
            PersistentClient(number, owner, urls, http, MODEL, log)
            for number, owner in enumerate(OWNERS)
        ]
        running = (each.run(lambda: time.time() > ends_at and breaking.done()) for each in clients)
        await asyncio.gather(*running, breaking)
    return log


_NOTHING = UsageRow(
    arrived_ms=0,
    owner="",
    key_id="",
    model="",
    path="",
    status=200,
    prompt_tokens=None,
    completion_tokens=None,
    cached_tokens=None,
    reasoning_tokens=None,
    estimated=0,
    first_byte_s=None,
    total_s=0.0,
    queue_s=None,
    cut_tokens=0,
    cut_tools=0,
    cut_steps="",
    session=None,
)


@dataclass
class Recorded:
    """The rows of usage, by the hash of their request's name."""

    rows: dict[str, list[UsageRow]]
    salt: bytes

    def of(self, asked: AskedRequest) -> list[UsageRow]:
        named = _NOTHING._replace(owner=asked.owner, session=asked.session)
        return self.rows.get(str(as_stored(named, self.salt)[-1]), [])


def recorded(url: str) -> Recorded:
    database = PostgresDatabase(url)
    connection = database.connect()
    ((salt,),) = connection.query("SELECT value FROM stoker_usage_facts WHERE name = 'salt'")
    connection.close()
    found: dict[str, list[UsageRow]] = {}
    for row in UsageStore(database).rows():
        found.setdefault(str(row.session), []).append(row)
    return Recorded(found, bytes.fromhex(salt))


def was_killed(team: ServingTeam, asked: AskedRequest, within_s: float) -> bool:
    """Whether its gateway was killed at most so long after the request ended."""
    kills = team.gateways[asked.gateway].killed_at
    return any(-BUSY_S < at - asked.ended_at < within_s for at in kills)


def failed(team: ServingTeam, log: Iterable[AskedRequest]) -> list[AskedRequest]:
    """Requests that failed, or were turned away by a gateway to which nothing was done."""
    return [asked for asked in log if not _is_well(team, asked)]


def _is_well(team: ServingTeam, asked: AskedRequest) -> bool:
    for attempt in asked.attempts:
        away = team.gateways[attempt.gateway].away
        if not any(since <= attempt.ended_at <= until + BUSY_S for since, until in away):
            return False
    if asked.outcome == CUT:
        return was_killed(team, asked, BUSY_S)
    if asked.outcome == LIMITED:
        return not asked.owner.startswith("dev")
    return asked.outcome in (ANSWERED, BROKE_OFF)


def wrong_rows(team: ServingTeam, log: Iterable[AskedRequest], known: Recorded) -> list[str]:
    """Requests whose rows of usage are not what the client saw."""
    wrong = []
    for asked in log:
        rows = [(row.status, _tokens(row)) for row in known.of(asked)]
        due: list[list[tuple[int, int]]] = [[]]
        if asked.outcome == ANSWERED:
            due = [[(200, asked.tokens)]]
            if was_killed(team, asked, LOST_S + BUSY_S):
                due.append([])
        elif asked.outcome == BROKE_OFF:
            rows = [(status, 0) for status, _ in rows]
            due = [[(502, 0)]]
        if rows not in due:
            wrong.append(f"{asked}: {rows}")
    return wrong


def _tokens(row: UsageRow) -> int:
    return (row.prompt_tokens or 0) + (row.completion_tokens or 0)


def most_in_a_minute(taken: Sequence[tuple[float, int]]) -> int:
    """The largest amount in any 60 seconds."""
    taken = sorted(taken)
    most = total = first = 0
    for at, amount in taken:
        total += amount
        while taken[first][0] <= at - 60:
            total -= taken[first][1]
            first += 1
        most = max(most, total)
    return most


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """The most spans that overlap."""
    moments = sorted(m for began, ended in spans for m in ((began, 1), (ended, -1)))
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


async def test_nothing_is_lost_while_each_part_is_killed_and_brought_back(tmp_path: Path) -> None:
    model = one_layer_gguf(real_models.smollm2(), tmp_path)
    async with serving_team(tmp_path, model, sorted(set(OWNERS)), LIMITS) as team:
        log = await asked_by_clients(team)
        for gateway in team.gateways:
            await gateway.end(signal.SIGTERM)
        known = await asyncio.to_thread(recorded, team.postgres.url)
        report(team, log, known)
        assert failed(team, log) == []
        assert wrong_rows(team, log, known) == []
        outcomes = Counter(asked.outcome for asked in log)
        assert outcomes[BROKE_OFF] > 0, "no engine was killed in the middle of a stream"
        assert outcomes[ANSWERED] > LASTS_S
        used = used_by(known)
        assert used["tokens"] <= TOKENS_PER_MINUTE * MOST
        assert used["requests"] <= REQUESTS_PER_MINUTE * MOST
        assert used["places"] <= PLACES
        for owner in ("by_tokens", "by_requests", "by_places"):
            assert any(a.owner == owner and a.outcome == LIMITED for a in log), owner


def used_by(known: Recorded) -> dict[str, int]:
    """The most that was used of each limit."""
    rows = [row for rows in known.rows.values() for row in rows]
    of = {owner: [row for row in rows if row.owner == owner] for owner in OWNERS}
    return {
        "tokens": most_in_a_minute([(r.arrived_ms / 1e3, _tokens(r)) for r in of["by_tokens"]]),
        "requests": most_in_a_minute([(r.arrived_ms / 1e3, 1) for r in of["by_requests"]]),
        "places": most_at_once(
            (r.arrived_ms / 1e3, r.arrived_ms / 1e3 + r.total_s - 0.002) for r in of["by_places"]
        ),
    }


def report(team: ServingTeam, log: list[AskedRequest], known: Recorded) -> None:
    """Print what came of all requests."""
    for outcome, count in Counter(asked.outcome for asked in log).most_common():
        print(f"{count:6} {outcome}")
    for each in Counter(a.reason[:60] for asked in log for a in asked.attempts).most_common(8):
        print("  asked again:", each)
    print("rows by status:", Counter(r.status for rows in known.rows.values() for r in rows))
    print("most used:", used_by(known))
    took = sorted(asked.ended_at - asked.sent_at for asked in log if asked.outcome == ANSWERED)
    if took:
        print(f"answers: median {took[len(took) // 2]:.2f} s, longest {took[-1]:.2f} s")
    print("away:", [(g.name, [f"{b - a:.1f} s" for a, b in g.away]) for g in team.gateways])
