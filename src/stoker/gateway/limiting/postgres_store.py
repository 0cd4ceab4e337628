"""Counts in PostgreSQL: a row for each counter and bucket, changed by two functions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import asyncpg

from stoker.gateway.limiting.counters import STORE_TIMEOUT_S, Charge, Outcome, StoreAwayError

#: Besides those of the client itself; the last two are for an option in the address that is none.
_FAULTS = (OSError, asyncio.TimeoutError, ValueError, TypeError)

#: Connecting and preparing happen beside the requests.
_OPEN_S = 3.0
_CONNECTIONS = 8
#: How often rows that no longer count are dropped; those of a counter in use go with each use.
_TIDY_S = 3600.0
#: Any one number: gateways that start together prepare one after the other.
_PREPARING = 7_386_041

#: Locks are taken in one order, so no two calls wait for each other. An amount below 0, given back
#: where nothing was, counts as 0.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS stoker_limit_use (
  name text, bucket bigint, amount bigint NOT NULL, kept_until bigint NOT NULL,
  PRIMARY KEY (name, bucket)
);

CREATE OR REPLACE FUNCTION stoker_limit_add(
  names text[], buckets bigint[], amounts bigint[], kept_s bigint[]
) RETURNS void AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(id) FROM (
    SELECT DISTINCT hashtextextended('stoker:' || n, 0) AS id FROM unnest(names) AS n ORDER BY 1
  ) AS ids;
  INSERT INTO stoker_limit_use AS known
    SELECT n, b, a, extract(epoch FROM now())::bigint + k
    FROM unnest(names, buckets, amounts, kept_s) AS new(n, b, a, k)
  ON CONFLICT (name, bucket) DO UPDATE SET
    amount = greatest(0, known.amount) + excluded.amount, kept_until = excluded.kept_until;
END
$$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION stoker_limit_take(
  names text[], buckets bigint[], amounts bigint[], kept_s bigint[], firsts bigint[],
  lasts bigint[], limits bigint[]
) RETURNS TABLE (place int, held_bucket bigint, held_amount bigint) AS $$
DECLARE
  is_over boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(id) FROM (
    SELECT DISTINCT hashtextextended('stoker:' || n, 0) AS id FROM unnest(names) AS n ORDER BY 1
  ) AS ids;
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
  IF NOT is_over THEN
    PERFORM stoker_limit_add(names, buckets, amounts, kept_s);
    RETURN QUERY SELECT 0, 0::bigint, 0::bigint;
  END IF;
END
$$ LANGUAGE plpgsql;
"""
_TAKE = "SELECT * FROM stoker_limit_take($1, $2, $3, $4, $5, $6, $7)"
_ADD = "SELECT stoker_limit_add($1, $2, $3, $4)"
_TIDY = "DELETE FROM stoker_limit_use WHERE kept_until < extract(epoch FROM now())"


class PostgresStore:
    """The store at a ``postgresql://`` address. Each call is one statement."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._tidied_at = 0.0

    async def open(self) -> None:
        """Connect, and create the table and the functions where they are missing."""
        if self._pool is None:
            self._pool = await _answered(self._connected())
        await self._run("fetchval", "SELECT 1")

    async def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit."""
        firsts = [charge.counter.window.first(charge.bucket) for charge in charges]
        lasts = [charge.counter.window.last(charge.bucket) for charge in charges]
        limits = [charge.counter.limit for charge in charges]
        rows = await self._run("fetch", _TAKE, *_columns(charges), firsts, lasts, limits)
        held: list[dict[int, int]] = [{} for _ in charges]
        taken = False
        for place, bucket, amount in rows:
            if place:
                held[place - 1][bucket] = amount
            else:
                taken = True
        return Outcome.from_store(taken, held, charges)

    async def add(self, charges: Sequence[Charge]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        await self._run("execute", _ADD, *_columns(charges))

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
