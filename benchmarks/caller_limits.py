"""What limits cost a request: the stage with the counts in memory, for one owner and for 1,000.

``python benchmarks/caller_limits.py`` calls the gateway's own stage with a chat of 8 KB whose
answer reports its tokens, in rounds that alternate: a caller without limits, one with five, and
1,000 callers with five each. The time is CPU time, the least of all rounds: what disturbs one only
adds to it. Goals: at most 20 us more than without limits, and 1,000 owners at most as much as one,
to 10 %.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from stoker.access.api_keys import Keys
from stoker.access.caller import Caller, CallerLimits
from stoker.engines import Backend, ServedModel
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.middleware.limit_caller import LimitCaller
from stoker.gateway.request_context import RequestContext
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.timings import DEFAULT_TIMINGS
from stoker.gateway.usage.usage_report import UsageReport

MODEL = ServedModel("coder", max_model_len=32768)
CHAT = {"messages": [{"role": "user", "content": "x" * 1000}] * 8, "max_tokens": 500}
CHAT_BYTES = orjson.dumps(CHAT)
LIMITS = CallerLimits(
    requests_per_minute=10**9,
    tokens_per_minute=10**12,
    tokens_per_day=10**12,
    tokens_per_month=10**12,
    max_concurrent=10**6,
)
REQUESTS = 2000
ROUNDS = 15


async def answered(context: RequestContext) -> web.StreamResponse:
    """What the stages after it do, in no time."""
    answer: Any = SimpleNamespace(report=REPORT, streaming=False, status=200, events=0)
    context.answer = answer
    context.outgoing = OUTGOING
    return RESPONSE


async def cpu_us(stage: LimitCaller, callers: Sequence[Caller]) -> float:
    """Microseconds of CPU for each request."""
    request = make_mocked_request("POST", "/v1/chat/completions")
    began = time.process_time()
    for number in range(REQUESTS):
        context = RequestContext(request)
        context.caller = callers[number % len(callers)]
        context.model, context.body = MODEL, CHAT
        context.request._read_bytes = CHAT_BYTES
        await stage(context, answered)
    return (time.process_time() - began) / REQUESTS * 1e6


async def main() -> None:
    """Measure and print."""
    state = GatewayState(Keys({}), DEFAULT_TIMINGS)
    state.pool.replace([PooledBackend(Backend("http://127.0.0.1:1", "openai"), [MODEL], None)])
    cases = {
        "without limits": [Caller("ann")],
        "one owner, five limits": [Caller("ann", limits=LIMITS)],
        "1,000 owners, five limits each": [Caller(f"o{n}", limits=LIMITS) for n in range(1000)],
    }
    async with aiohttp.ClientSession() as http:
        state.preparers.start(http)
        stage = LimitCaller(state)
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, callers in cases.items():
                times[name].append(await cpu_us(stage, callers))
        state.preparers.stop()
    least = min(times["without limits"])
    print(f"{'':32} us a request   more")
    for name, found in times.items():
        middle = min(found)
        print(f"{name:32} {middle:12.1f} {middle - least:6.1f}")


REPORT = UsageReport()
REPORT.note({"usage": {"prompt_tokens": 2000, "completion_tokens": 300}})
OUTGOING: Any = SimpleNamespace(prompt_tokens=None)
RESPONSE = web.Response()

if __name__ == "__main__":
    asyncio.run(main())
