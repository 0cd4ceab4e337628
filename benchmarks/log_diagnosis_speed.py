"""How long Stoker takes to find the cause of a failure in an engine's log.

The log is a real one of a healthy vLLM, repeated: the worst case, as every line is read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from stoker.server.diagnosis import diagnose

LOG = Path(__file__).parents[1] / "tests/fixtures/logs/healthy/vllm-0.32.0-cpu.log"


def lines(total_bytes: int) -> Iterator[str]:
    """The lines of the log, repeated until they make ``total_bytes``."""
    once = LOG.read_text(encoding="utf-8").splitlines()
    given = 0
    while given < total_bytes:
        for line in once:
            given += len(line) + 1
            yield line


def main() -> None:
    """Print the time for logs of growing length."""
    for megabytes in (1, 10, 100):
        began = time.process_time()
        found = diagnose(lines(megabytes * 1_000_000), "vllm")
        took = time.process_time() - began
        assert found is None
        print(f"{megabytes:4} MB: {took:6.2f} s, {megabytes / took:5.1f} MB/s")


if __name__ == "__main__":
    main()
