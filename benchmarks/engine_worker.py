"""Run an engine's process for a benchmark, as Stoker launches it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from stoker.engines import ProcessLaunch


@contextmanager
def running(launch: ProcessLaunch, ready: str = "ready on") -> Iterator[None]:
    """Run the process of ``launch`` for the length of the block, which begins when it is ready.

    ``ready`` is what its log prints then. Raises ``RuntimeError`` where the process ends before.
    """
    process = subprocess.Popen(
        launch.argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **launch.env},
    )
    assert process.stdin is not None and process.stderr is not None
    try:
        process.stdin.write(launch.stdin)
        process.stdin.flush()
        if not any(ready in line for line in process.stderr):
            raise RuntimeError("The engine ended before it was ready.")
        # Its log must be read, or the engine blocks once the pipe is full.
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield
    finally:
        process.stdin.close()
        process.terminate()
        process.wait()
    drain.wait()
