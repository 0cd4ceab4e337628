"""An engine as a child process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from stoker.engines import Backend, ProcessLaunch
from stoker.server.engine_process import ProcessRun

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGSTOP")


async def until(run: ProcessRun, *, frozen: bool) -> None:
    while (await run.silent() is not None) is not frozen:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_frozen_process_is_named_until_it_is_resumed() -> None:
    launch = ProcessLaunch((sys.executable, "-c", "import time; time.sleep(60)"))
    run = await ProcessRun.start(launch, Backend("http://127.0.0.1:9", "openai"))
    try:
        assert run.process is not None
        assert await run.silent() is None
        os.killpg(run.process.pid, signal.SIGSTOP)
        await asyncio.wait_for(until(run, frozen=True), 10)
        problem = await run.silent()
        assert problem is not None
        assert problem.fix == f"Resume it: kill -CONT -- -{run.process.pid}"
        assert not await run.ended()
        os.killpg(run.process.pid, signal.SIGCONT)
        await asyncio.wait_for(until(run, frozen=False), 10)
        os.killpg(run.process.pid, signal.SIGSTOP)
    finally:
        await run.end(grace_s=0.1)
    assert await run.ended()
    assert await run.silent() is None
