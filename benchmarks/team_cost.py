"""What a team's features cost a request: ``python benchmarks/team_cost.py``.

Three gateways stand in front of the same mock backend: one without keys, limits and usage, one with
all three for one owner with five limits, and one for 1,000 such owners that ask in turn. They run
in one process, because two processes of one program differ by up to 10 % by where their memory
lies, and are asked in turns. The CPU time is the kernel's account of that process with all its
threads, the one that writes the usage to SQLite included. What disturbs a round only adds to it, so
the least of all rounds counts.

Goals: an 8 KB request with all three costs at most 10 % more than without, a streamed one of 20
chunks too, and 1,000 owners cost no more than one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

import uvloop
from aiohttp import web
from gateway import CHAT, Target, body, start
from stoker_relay import gateway_for, key_of

REQUESTS = 200
CASES = {"without": 0, "one owner": 1, "1,000 owners": 1000}
KINDS = {
    "8 KB request": body(1, 0, 8_000, streamed=False),
    "8 KB, 20 chunks": body(20, 0, 8_000),
}
_SERVE = "--serve"


async def serve(backend: str) -> None:
    """Serve all cases from this process, and print their ports."""
    ports = []
    for owners in CASES.values():
        runner = gateway_for(owners, backend).runner()
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ports.append(runner.addresses[0][1])
    print(*ports, flush=True)
    await asyncio.Event().wait()


def cpu_us(target: Target, port: int, owners: int, payload: bytes) -> float:
    """CPU microseconds of one request, over a kept connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    before = target.cpu_s()
    for number in range(REQUESTS):
        headers = {"Content-Type": "application/json"}
        if owners:
            headers["Authorization"] = f"Bearer {key_of(number % owners)}"
        connection.request("POST", CHAT, payload, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
    used = target.cpu_s() - before
    connection.close()
    return used / REQUESTS * 1e6


def measured(rounds: int, target: Target, ports: list[int]) -> dict[str, dict[str, list[float]]]:
    """Each case's figures for each kind of request; the first round warms up."""
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in KINDS}
    for number in range(rounds + 1):
        for kind, payload in KINDS.items():
            for port, (case, owners) in zip(ports, CASES.items(), strict=True):
                value = cpu_us(target, port, owners, payload)
                if number:
                    found[kind].setdefault(case, []).append(value)
    return found


def main() -> None:
    """Print the least and the median of all rounds, and what each adds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    backend = start("mock backend", "mock_backend.py")
    command = (sys.executable, __file__, _SERVE, f"http://127.0.0.1:{backend.port}")
    serving = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )
    assert serving.stdout is not None
    try:
        ports = [int(port) for port in serving.stdout.readline().split()]
        found = measured(arguments.rounds, Target("Stoker", ports[0], serving), ports)
    finally:
        serving.terminate()
        backend.process.terminate()
    print(json.dumps(found, indent=2) if arguments.json else table(found))


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """The results as text."""
    lines = [f"{'CPU us, all threads':32}{'least':>8}{'median':>8}{'more':>8}  (goal 10 %)"]
    for kind, by_case in found.items():
        least = min(by_case["without"])
        for case, values in by_case.items():
            more = min(values) / least - 1
            middle = statistics.median(values)
            lines.append(f"{f'{kind}, {case}':32}{min(values):8.1f}{middle:8.1f}{more:8.1%}")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == [_SERVE]:
        uvloop.run(serve(sys.argv[2]))
    else:
        main()
