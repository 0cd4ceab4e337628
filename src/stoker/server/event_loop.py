"""The event loop of a process that serves: uvloop's, or asyncio's on Windows."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A new event loop, closed at the end after the tasks that were left are cancelled."""
    loop = _new_loop()
    try:
        yield loop
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415  (not available on Windows)

    return uvloop.new_event_loop()
