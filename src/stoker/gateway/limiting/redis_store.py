"""Counts in Redis: a hash for each counter, with an amount for each bucket."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

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

#: Besides those of the client itself; the last one is for an answer that it can't read.
_FAULTS = (OSError, asyncio.TimeoutError, ValueError)

_CONNECTIONS = 32
_PREFIX = "stoker:limit:"
#: A value that is drawn where there is none: it is gone when Redis has forgotten the counts.
_CONTENTS = "stoker:limits:contents"
#: When each gateway was last there.
_GATEWAYS = "stoker:limits:gateways"
_CALL = "stoker:limits:call:"
#: What a script answers where Redis holds other contents than the gateway knows of.
_FORGOTTEN = -1

_EACH = f"""
if redis.call('GET', '{_CONTENTS}') ~= ARGV[1] then return {{{_FORGOTTEN}}} end
local function is_new(call)
  return redis.call('SET', '{_CALL}' .. call, 1, 'NX', 'EX', {CALL_KEPT_S})
end
local function add(key, bucket, amount, kept_s)
  if redis.call('HINCRBY', key, bucket, amount) <= 0 then redis.call('HDEL', key, bucket) end
  redis.call('EXPIRE', key, kept_s)
end
"""
#: The contents, the call; then for each key: the bucket, the oldest and the latest one that count,
#: the amount, the limit, how long to keep it. A call that was counted already is taken.
_TAKE = (
    _EACH
    + f"""
local counted = redis.call('EXISTS', '{_CALL}' .. ARGV[2]) == 1
local taken, answer = 1, {{0}}
for i, key in ipairs(KEYS) do
  local at, total, kept = 2 + (i - 1) * 6, 0, {{}}
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
  if total + tonumber(ARGV[at + 4]) > tonumber(ARGV[at + 5]) and not counted then taken = 0 end
  answer[i + 1] = kept
end
if taken == 1 and is_new(ARGV[2]) then
  for i, key in ipairs(KEYS) do
    local at = 2 + (i - 1) * 6
    add(key, ARGV[at + 1], ARGV[at + 4], ARGV[at + 6])
  end
end
answer[1] = taken
return answer
"""
)
#: The contents; then for each key: the call, the bucket, the amount, how long to keep it.
_ADD = (
    _EACH
    + """
local new = {}
for i, key in ipairs(KEYS) do
  local at = 1 + (i - 1) * 4
  local call = ARGV[at + 1]
  if new[call] == nil then new[call] = is_new(call) and true or false end
  if new[call] then add(key, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]) end
end
return {1}
"""
)
#: The gateway, and a value for the contents.
_CHECK_IN = f"""
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', '{_GATEWAYS}', now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', '{_GATEWAYS}', '-inf', now - {PRESENT_S})
redis.call('SET', '{_CONTENTS}', ARGV[2], 'NX')
return {{redis.call('GET', '{_CONTENTS}'), redis.call('ZCARD', '{_GATEWAYS}')}}
"""


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
        self._pool = pool
        self._redis: Any = Redis(connection_pool=pool)
        self._check_in = self._redis.register_script(_CHECK_IN)
        self._take = self._redis.register_script(_TAKE)
        self._add = self._redis.register_script(_ADD)
        self._contents = ""
        #: Idle connections may be those to a Redis that was killed: each would fail once.
        self._has_failed = False

    async def check_in(self, gateway: str) -> StoreState:
        """Note that this gateway is there; connections are made as they are needed."""
        if self._has_failed:
            await self._answered(self._pool.disconnect(inuse_connections=False))
            self._has_failed = False
        answer = await self._answered(self._check_in([], [gateway, secrets.token_hex(8)]))
        self._contents, gateways = bytes(answer[0]).decode(), answer[1]
        return StoreState(self._contents, gateways)

    async def take(self, call: StoreCall) -> Outcome:
        """Count all charges, or none where one of them exceeds its counter's limit."""
        values: list[int | str] = [self._contents, call.name]
        for counter, bucket, amount in call.charges:
            window = counter.window
            values += (bucket, window.first(bucket), window.last(bucket))
            values += (amount, counter.limit, window.kept_s)
        taken, *held = await self._run(self._take, call.charges, values)
        return Outcome.from_store(bool(taken), [_buckets(flat) for flat in held], call.charges)

    async def add(self, calls: Sequence[StoreCall]) -> None:
        """Count these whatever the limits are; negative amounts are given back."""
        charges: list[Charge] = []
        values: list[int | str] = [self._contents]
        for call in calls:
            charges += call.charges
            for counter, bucket, amount in call.charges:
                values += (call.name, bucket, amount, counter.window.kept_s)
        await self._run(self._add, charges, values)

    async def tidy(self, now: float) -> None:
        """Nothing: Redis forgets keys that expire."""

    async def close(self) -> None:
        """Disconnect."""
        await self._answered(self._redis.aclose())

    async def _run(self, script: Any, charges: Sequence[Charge], values: list[int | str]) -> Any:
        answer = await self._answered(script(_keys(charges), values))
        if answer[0] == _FORGOTTEN:
            raise StoreAwayError("Redis: it has forgotten what was counted")
        return answer

    async def _answered(self, call: Awaitable[Any]) -> Any:
        """What Redis answers. Its errors are named by their kind: they may hold an address."""
        try:
            return await call
        except (RedisError, *_FAULTS) as error:
            self._has_failed = True
            raise StoreAwayError(f"Redis: {type(error).__name__}") from None


def _keys(charges: Sequence[Charge]) -> list[str]:
    return [_PREFIX + charge.counter.name for charge in charges]


def _buckets(flat: Sequence[int]) -> dict[int, int]:
    """From each bucket followed by its amount."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
