"""What traces cost a request on the event loop: ``python benchmarks/trace_cost.py``.

The stages that note spans run around stages that do nothing, for requests that are recorded, and
for those that sampling leaves out. Measured is the CPU time of the event loop's thread; a thread
beside it sends the spans, here to a port where nothing listens. Needs the extra ``traces``.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import time

from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from benchmarks import last_runs

from stoker.access.api_keys import Keys
from stoker.access.caller import Caller
from stoker.engines import Backend, ServedModel
from stoker.gateway import pipeline
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.prompt.prepare_for_backend import PrepareForBackend
from stoker.gateway.relay.backend_request import BackendRequest
from stoker.gateway.relay.forwarder import Forward
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.request_context import Handler, RequestContext, Stage
from stoker.gateway.routing.pooled_backend import PooledBackend
from stoker.gateway.routing.select_backend import SelectBackend
from stoker.gateway.timings import DEFAULT_TIMINGS
from stoker.gateway.tracing.otlp_traces import Traces
from stoker.gateway.tracing.trace_settings import TraceSettings
from stoker.gateway.tracing.traced_stages import TraceRequest, with_spans

REQUESTS = 1000
ROUNDS = 9
NOWHERE = "http://127.0.0.1:9/v1/traces"
MODEL = ServedModel("qwen2.5-coder-7b")
BACKEND = PooledBackend(Backend("http://127.0.0.1:8001", "vllm"), [MODEL])
RESPONSE = web.Response()


class _Selects(SelectBackend):
    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        context.backend = BACKEND
        return await proceed(context)


class _Prepares(PrepareForBackend):
    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        context.outgoing = BackendRequest([b"{}"])
        return await proceed(context)


class _Forwards(Forward):
    async def __call__(self, context: RequestContext, _: Handler, /) -> web.StreamResponse:
        answer = context.answer = ResponseStream(None, streamed=True)
        answer.status, answer.streaming = 200, True
        answer.first_byte_at = asyncio.get_running_loop().time()
        answer.report.note({"usage": {"prompt_tokens": 5000, "completion_tokens": 300}})
        return RESPONSE


async def per_request_us(handler: Handler) -> float:
    """CPU microseconds of this thread for one request."""
    request = make_mocked_request("POST", "/v1/chat/completions")
    caller = Caller("ann", "1")
    began = time.thread_time()
    for _ in range(REQUESTS):
        context = RequestContext(request)
        context.caller, context.model = caller, MODEL
        await handler(context)
    return (time.thread_time() - began) / REQUESTS * 1e6


async def unanswered(_: RequestContext) -> web.StreamResponse:
    """The last stage answers before this."""
    raise RuntimeError


async def main() -> None:
    """Print the medians."""
    logging.disable(logging.CRITICAL)
    state = GatewayState(Keys({}), DEFAULT_TIMINGS)
    row: list[Stage] = [_Selects(state), _Prepares(state), _Forwards(state)]
    handlers = {"no traces": pipeline.chained(row, unanswered)}
    opened = []
    for name, ratio in (("not recorded", 0.0), ("recorded", 1.0)):
        traces = Traces(TraceSettings(NOWHERE, ratio))
        opened.append(traces)
        traced = [TraceRequest(traces), *with_spans(row, traces)]
        handlers[name] = pipeline.chained(traced, unanswered)
    figures: dict[str, list[float]] = {name: [] for name in handlers}
    for _ in range(ROUNDS + 1):
        for name, handler in handlers.items():
            figures[name].append(await per_request_us(handler))
    print("CPU us for a request, medians")
    for name, found in figures.items():
        print(f"{name:13} {statistics.median(found[1:]):7.1f}")
    if "--record" in sys.argv:
        without, left_out, recorded = (statistics.median(each[1:]) for each in figures.values())
        more = {"left_out_us": round(left_out - without), "more_us": round(recorded - without)}
        last_runs.record("trace_cost", more)
    for traces in opened:
        await traces.close()


if __name__ == "__main__":
    asyncio.run(main())
