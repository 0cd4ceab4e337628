"""What recording usage costs a request on the event loop: ``python benchmarks/usage_cost.py``.

The stage ``Account`` runs for requests that are answered at once, with and without a database, in
turns, so that drifts of the machine's speed affect both alike. Measured is the CPU time of the
event loop's thread; the thread that writes the rows to SQLite runs beside it. Goal: at most 10 us
more for a request.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from benchmarks import last_runs

from stoker.access.api_keys import Keys
from stoker.access.caller import Caller
from stoker.engines import ServedModel
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.relay.backend_request import BackendRequest
from stoker.gateway.relay.response_stream import ResponseStream
from stoker.gateway.request_context import RequestContext
from stoker.gateway.timings import DEFAULT_TIMINGS
from stoker.gateway.usage.accounting import Account
from stoker.usage_records import UsageStore, UsageWriter
from stoker.usage_records.sqlite_database import SqliteDatabase

REQUESTS = 5_000
USAGE = {"usage": {"prompt_tokens": 5000, "completion_tokens": 300, "total_tokens": 5300}}


class Asked:
    """As much of a request as the stage reads."""

    path = "/v1/chat/completions"


def context() -> RequestContext:
    """A chat with a session, as it is when its answer is complete."""
    asked = RequestContext(cast(web.Request, Asked()))
    asked.caller = Caller("ann", "ann-1")
    asked.model = ServedModel("qwen2.5-coder-7b")
    asked.session = "0b5e3c1e-6b0f-4c0e-9a56-3f8f1f0b7a11"
    asked.outgoing = BackendRequest([b"{}"])
    asked.answer = ResponseStream(None, streamed=False)
    asked.answer.first_byte_at = asyncio.get_running_loop().time()
    asked.answer.report.note(USAGE)
    return asked


async def per_request_us(state: GatewayState) -> float:
    """CPU microseconds of this thread for one request."""
    account, response, asked = Account(state), web.Response(), context()

    async def proceed(_: RequestContext) -> web.StreamResponse:
        return response

    began = time.thread_time()
    for _ in range(REQUESTS):
        await account(asked, proceed)
    return (time.thread_time() - began) / REQUESTS * 1e6


async def measure(rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    """The figures without and with usage; the first round warms up and is not counted."""
    without, recording = (GatewayState(Keys({}), DEFAULT_TIMINGS) for _ in range(2))
    lost: list[Any] = []
    store = UsageStore(SqliteDatabase(folder / "usage.db"))
    recording.usage = UsageWriter(store, 400, lost.append)
    recording.usage.start()
    figures = []
    for _ in range(rounds + 1):
        figures.append((await per_request_us(without), await per_request_us(recording)))
        await asyncio.sleep(0.5)  # the writer catches up
    recording.usage.close()
    assert not lost
    assert sum(1 for _ in store.rows()) == (rounds + 1) * REQUESTS
    return [before for before, _ in figures[1:]], [after for _, after in figures[1:]]


def main() -> None:
    """Print the medians side by side."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--record", action="store_true", help="keep the figures for the docs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        without, recording = asyncio.run(measure(arguments.rounds, Path(folder)))
    more = statistics.median(
        after - before for before, after in zip(without, recording, strict=True)
    )
    print("CPU us for a request in the stage Account, medians")
    print(f"without usage {statistics.median(without):7.2f}")
    print(f"with usage    {statistics.median(recording):7.2f}")
    print(f"more          {more:7.2f} (goal 10)")
    if arguments.record:
        last_runs.record("usage_cost", {"more_us": round(more, 1)})


if __name__ == "__main__":
    main()
