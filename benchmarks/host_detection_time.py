"""How long detecting the machine takes: ``python benchmarks/host_detection_time.py``.

Goals: under 150 ms without asking the hub (a new process, imports included), and under 2.5 s with
a hub that never answers.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from stoker.host import detect

ROUNDS = 10
ONCE = "from pathlib import Path; from stoker.host import detect; detect(Path.cwd(), ask_hub=False)"


def new_process_s(code: str) -> float:
    """Wall-clock seconds of a Python process that runs ``code``."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def silent_hub_s() -> float:
    """Seconds of ``detect`` where the hub accepts the connection and sends nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.perf_counter()
        detect(Path.cwd())
        return time.perf_counter() - start


def main() -> None:
    """Print the medians."""
    empty = statistics.median(new_process_s("pass") for _ in range(ROUNDS))
    whole = statistics.median(new_process_s(ONCE) for _ in range(ROUNDS))
    start = time.perf_counter()
    detect(Path.cwd(), ask_hub=False)
    print(f"detect, hub not asked, warm        {(time.perf_counter() - start) * 1000:7.1f} ms")
    print(f"detect, hub not asked, new process {(whole - empty) * 1000:7.1f} ms (goal: 150)")
    print(f"detect, hub silent                 {silent_hub_s() * 1000:7.1f} ms (goal: 2500)")


if __name__ == "__main__":
    main()
