"""Counts in Redis: a hash for each counter, with an amount for each bucket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from stoker.gateway.limiting.counters import STORE_TIMEOUT_S, Charge, Outcome, StoreAwayError

#: Besides those of the client itself; the last one is for an answer that it can't read.
_FAULTS = (OSError, asyncio.TimeoutError, ValueError)

_CONNECTIONS = 32
_PREFIX = "stoker:limit:"

_EACH = """
local function add(key, bucket, amount, kept_s)
  if redis.call('HINCRBY', key, bucket, amount) <= 0 then redis.call('HDEL', key, bucket) end
  redis.call('EXPIRE', key, kept_s)
end
"""
#: For each key: the bucket, the oldest and the latest one that count, the amount, the limit, how
#: long to keep it.
_TAKE = (
    _EACH
    + """
local taken, answer = 1, {0}
for i, key in ipairs(KEYS) do
  local at, total, kept = (i - 1) * 6, 0, {}
  local held = redis.call('HGETALL', key)
  for j = 1, #held, 2 do
    local bucket = tonumber(held[j])
    if bucket < tonumber(ARGV[at + 2]) or bucket > tonumber(ARGV[at + 3]) then
      redis.call('HDEL', key, held[j])
    else
      total = total + tonumber(held[j + 1])
      kept[#kept + 1] = bucket
      kept[#kept + 1] = tonumber(held[j + 1])
    end
  end
  if total + tonumber(ARGV[at + 4]) > tonumber(ARGV[at + 5]) then taken = 0 end
  answer[i + 1] = kept
end
if taken == 1 then
  for i, key in ipairs(KEYS) do
    local at = (i - 1) * 6
    add(key, ARGV[at + 1], ARGV[at + 4], ARGV[at + 6])
  end
end
answer[1] = taken
return answer
"""
)
#: For each key: the bucket, the amount, how long to keep it.
_ADD = (
    _EACH
    + """
for i, key in ipairs(KEYS) do
  local at = (i - 1) * 3
  add(key, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
"""
)


class RedisStore:
    """The store at a ``redis://`` address. Each call is one script, which is one step there.

    Raises what its client does for an option in the address that it does not take.
    """

    def __init__(self, url: str) -> None:
        pool: Any = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=STORE_TIMEOUT_S,
            socket_timeout=STORE_TIMEOUT_S,
            socket_connect_timeout=STORE_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        pool.make_connection()  # not opened: the first one shows what is wrong with an option
        self._redis: Any = Redis(connection_pool=pool)
        self._take = self._redis.register_script(_TAKE)
        self._add = self._redis.register_script(_ADD)

    async def open(self) -> None:
        """Ask whether it answers; connections are made as they are needed."""
        await _answered(self._redis.ping())

    async def take(self, charges: Sequence[Charge]) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit."""
        values: list[int] = []
        for counter, bucket, amount in charges:
            window = counter.window
            values += (bucket, window.first(bucket), window.last(bucket))
            values += (amount, counter.limit, window.kept_s)
        taken, *held = await _answered(self._take(_keys(charges), values))
        return Outcome.from_store(bool(taken), [_buckets(flat) for flat in held], charges)

    async def add(self, charges: Sequence[Charge]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        values: list[int] = []
        for counter, bucket, amount in charges:
            values += (bucket, amount, counter.window.kept_s)
        await _answered(self._add(_keys(charges), values))

    async def tidy(self, now: float) -> None:
        """Nothing: Redis forgets keys that expire."""

    async def close(self) -> None:
        """Disconnect."""
        await _answered(self._redis.aclose())


def _keys(charges: Sequence[Charge]) -> list[str]:
    return [_PREFIX + charge.counter.name for charge in charges]


def _buckets(flat: Sequence[int]) -> dict[int, int]:
    """From each bucket followed by its amount."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


async def _answered(call: Awaitable[Any]) -> Any:
    """What Redis answers. Its errors are named by their kind: their words may hold an address."""
    try:
        return await call
    except (RedisError, *_FAULTS) as error:
        raise StoreAwayError(f"Redis: {type(error).__name__}") from None
