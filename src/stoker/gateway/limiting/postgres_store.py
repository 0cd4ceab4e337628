"""Counts in PostgreSQL: a row for each counter and bucket, changed by two functions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import asyncpg

from stoker.gateway.limiting.counters import (
    CALL_KEPT_S,
    PRESENT_S,
    STORE_TIMEOUT_S,
    Charge,
    Outcome,
    StoreAwayError,
    StoreCall,
    StoreState,
)

#: Besides those of the client itself; the last two are for an option in the address that is none.
_FAULTS = (OSError, asyncio.TimeoutError, ValueError, TypeError)

#: Connecting and preparing happen beside the requests.
_OPEN_S = 3.0
_CONNECTIONS = 8
#: How often rows that no longer count are dropped; those of a counter in use go with each use.
_TIDY_S = 60.0
#: Any one number: gateways that start together prepare one after the other.
_PREPARING = 7_386_041

#: Locks are taken in one order, so no two calls wait for each other. An amount below 0, given back
#: where nothing was, counts as 0. A call and what it counts are one transaction: what the database
#: forgets in a crash, it forgets together.
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS stoker_limit_use (
  name text, bucket bigint, amount bigint NOT NULL, kept_until bigint NOT NULL,
  PRIMARY KEY (name, bucket)
);
CREATE TABLE IF NOT EXISTS stoker_limit_call (name text PRIMARY KEY, kept_until bigint NOT NULL);
CREATE TABLE IF NOT EXISTS stoker_limit_gateway (name text PRIMARY KEY, kept_until bigint NOT NULL);
CREATE TABLE IF NOT EXISTS stoker_limit_contents (one bool PRIMARY KEY, drawn text NOT NULL);
INSERT INTO stoker_limit_contents VALUES (true, gen_random_uuid()::text) ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION stoker_limit_lock(names text[]) RETURNS void AS $$
  SELECT pg_advisory_xact_lock(id) FROM (
    SELECT DISTINCT hashtextextended('stoker:' || n, 0) AS id FROM unnest(names) AS n ORDER BY 1
  ) AS ids;
$$ LANGUAGE sql;

CREATE OR REPLACE FUNCTION stoker_limit_add_calls(
  calls text[], names text[], buckets bigint[], amounts bigint[], kept_s bigint[]
) RETURNS void AS $$
DECLARE
  now_s bigint = extract(epoch FROM now())::bigint;
BEGIN
  PERFORM stoker_limit_lock(names);
  WITH fresh AS (
    INSERT INTO stoker_limit_call SELECT DISTINCT c, now_s + {CALL_KEPT_S} FROM unnest(calls) AS c
    ON CONFLICT DO NOTHING RETURNING name
  )
  INSERT INTO stoker_limit_use AS known
    SELECT n, b, sum(a), now_s + max(k)
    FROM unnest(calls, names, buckets, amounts, kept_s) AS new(c, n, b, a, k)
    JOIN fresh ON fresh.name = c GROUP BY n, b
  ON CONFLICT (name, bucket) DO UPDATE SET
    amount = greatest(0, known.amount) + excluded.amount, kept_until = excluded.kept_until;
END
$$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION stoker_limit_take_call(
  call text, names text[], buckets bigint[], amounts bigint[], kept_s bigint[], firsts bigint[],
  lasts bigint[], limits bigint[]
) RETURNS TABLE (place int, held_bucket bigint, held_amount bigint) AS $$
DECLARE
  is_over boolean;
BEGIN
  PERFORM stoker_limit_lock(names);
  DELETE FROM stoker_limit_use AS known USING unnest(names, firsts, lasts) AS new(n, f, l)
    WHERE known.name = n AND (known.bucket < f OR known.bucket > l);
  RETURN QUERY SELECT i::int, known.bucket, known.amount
    FROM unnest(names) WITH ORDINALITY AS new(n, i)
    JOIN stoker_limit_use AS known ON known.name = n AND known.amount > 0;
  SELECT bool_or(a + coalesce(total, 0) > l) INTO is_over
    FROM unnest(names, amounts, limits) AS new(n, a, l)
    LEFT JOIN (
      SELECT known.name, sum(greatest(0, known.amount)) AS total FROM stoker_limit_use AS known
      WHERE known.name = ANY(names) GROUP BY known.name
    ) AS sums ON sums.name = n;
  IF NOT is_over OR EXISTS (SELECT FROM stoker_limit_call AS known WHERE known.name = call) THEN
    PERFORM stoker_limit_add_calls(
      array_fill(call, ARRAY[cardinality(names)]), names, buckets, amounts, kept_s);
    RETURN QUERY SELECT 0, 0::bigint, 0::bigint;
  END IF;
END
$$ LANGUAGE plpgsql;
"""  # noqa: S608  (two numbers of ours)
_TAKE = "SELECT * FROM stoker_limit_take_call($1, $2, $3, $4, $5, $6, $7, $8)"
_ADD = "SELECT stoker_limit_add_calls($1, $2, $3, $4, $5)"
_NOW = "extract(epoch FROM now())"
_TIDY = "; ".join(
    f"DELETE FROM stoker_limit_{table} WHERE kept_until < {_NOW}"  # noqa: S608  (names of ours)
    for table in ("use", "call", "gateway")
)
_CHECK_IN = f"""
WITH here AS (
  INSERT INTO stoker_limit_gateway VALUES ($1, {_NOW}::bigint + {PRESENT_S})
  ON CONFLICT (name) DO UPDATE SET kept_until = excluded.kept_until
)
SELECT drawn, 1 + (
  SELECT count(*) FROM stoker_limit_gateway WHERE kept_until >= {_NOW} AND name <> $1
) FROM stoker_limit_contents
"""  # noqa: S608  (the same)


class PostgresStore:
    """The store at a ``postgresql://`` address. Each call is one statement."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._tidied_at = 0.0

    async def check_in(self, gateway: str) -> StoreState:
        """Connect, and create the tables and the functions where they are missing."""
        if self._pool is None:
            self._pool = await _answered(self._connected())
        return StoreState(*await self._run("fetchrow", _CHECK_IN, gateway))

    async def take(self, call: StoreCall) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit."""
        charges = call.charges
        firsts = [charge.counter.window.first(charge.bucket) for charge in charges]
        lasts = [charge.counter.window.last(charge.bucket) for charge in charges]
        limits = [charge.counter.limit for charge in charges]
        columns = (call.name, *_columns(charges), firsts, lasts, limits)
        rows = await self._run("fetch", _TAKE, *columns)
        held: list[dict[int, int]] = [{} for _ in charges]
        taken = False
        for place, bucket, amount in rows:
            if place:
                held[place - 1][bucket] = amount
            else:
                taken = True
        return Outcome.from_store(taken, held, charges)

    async def add(self, calls: Sequence[StoreCall]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        charges = [charge for call in calls for charge in call.charges]
        names = [call.name for call in calls for _ in call.charges]
        await self._run("execute", _ADD, names, *_columns(charges))

    async def tidy(self, now: float) -> None:
        """Drop the rows of counters that are no longer used."""
        if now - self._tidied_at > _TIDY_S:
            self._tidied_at = now
            await self._run("execute", _TIDY)

    async def close(self) -> None:
        """Disconnect."""
        if self._pool is not None:
            self._pool.terminate()

    async def _connected(self) -> Any:
        pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=_CONNECTIONS,
            timeout=_OPEN_S,
            # Counts of the last half second may be lost where the database crashes; each request
            # would wait for the disk otherwise.
            server_settings={"synchronous_commit": "off", "application_name": "stoker limits"},
        )
        try:
            async with pool.acquire(timeout=_OPEN_S) as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _PREPARING)
                await connection.execute(_SCHEMA)
        except BaseException:
            pool.terminate()
            raise
        return pool

    async def _run(self, method: str, sql: str, *values: Any) -> Any:
        if self._pool is None:
            raise StoreAwayError("PostgreSQL: not connected")
        return await _answered(self._called(method, sql, values))

    async def _called(self, method: str, sql: str, values: Sequence[Any]) -> Any:
        async with self._pool.acquire(timeout=STORE_TIMEOUT_S) as connection:
            return await getattr(connection, method)(sql, *values, timeout=STORE_TIMEOUT_S)


def _columns(charges: Sequence[Charge]) -> tuple[list[Any], ...]:
    return (
        [charge.counter.name for charge in charges],
        [charge.bucket for charge in charges],
        [charge.amount for charge in charges],
        [charge.counter.window.kept_s for charge in charges],
    )


async def _answered(call: Awaitable[Any]) -> Any:
    """What the database answers. Its errors are named by their kind: they may hold an address."""
    try:
        return await call
    except (asyncpg.PostgresError, asyncpg.InterfaceError, *_FAULTS) as error:
        raise StoreAwayError(f"PostgreSQL: {type(error).__name__}") from None
