"""What a team's features cost a request: ``python benchmarks/team_cost.py``.

Three gateways stand in front of the same mock backend: one without keys, limits and usage, one with
all three for one owner with five limits, and one for 1,000 such owners that ask in turn. They are
measured in turns, and the CPU time is the kernel's account of each process with all its threads,
the one that writes the usage to SQLite included. What disturbs a round only adds to it, so the
least of all rounds counts.

Goals: an 8 KB request with all three costs at most 10 % more than without, a streamed one of 20
chunks too, and 1,000 owners cost no more than one.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from http.client import HTTPConnection

from gateway import CHAT, Target, body, start
from stoker_relay import key_of

REQUESTS = 1000
CASES = {"without": 0, "one owner": 1, "1,000 owners": 1000}
WHOLE = body(1, 0, 8_000, streamed=False)
STREAM = body(20, 0, 8_000)


def cpu_us(target: Target, owners: int, payload: bytes) -> float:
    """CPU microseconds of one request, over a kept connection."""
    connection = HTTPConnection("127.0.0.1", target.port, timeout=60)
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


def measured(rounds: int, targets: Sequence[Target]) -> dict[str, dict[str, list[float]]]:
    """Each case's figures for each kind of request; the first round warms up."""
    kinds: dict[str, Callable[[Target, int], float]] = {
        "8 KB request": lambda target, owners: cpu_us(target, owners, WHOLE),
        "8 KB, 20 chunks": lambda target, owners: cpu_us(target, owners, STREAM),
    }
    found: dict[str, dict[str, list[float]]] = {kind: {} for kind in kinds}
    for number in range(rounds + 1):
        for kind, take in kinds.items():
            for target, (case, owners) in zip(targets, CASES.items(), strict=True):
                value = take(target, owners)
                if number:
                    found[kind].setdefault(case, []).append(value)
    return found


def main() -> None:
    """Print the least and the median of all rounds, and what each adds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    backend = start("mock backend", "mock_backend.py")
    started = [backend]
    try:
        for case, owners in CASES.items():
            url = f"http://127.0.0.1:{backend.port}"
            options = ("--backend", url, "--owners", str(owners))
            started.append(start(case, "stoker_relay.py", *options))
        found = measured(arguments.rounds, started[1:])
    finally:
        for target in started:
            target.process.terminate()
    print(json.dumps(found, indent=2) if arguments.json else table(found))


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """The results as text."""
    lines = [f"{'CPU us, all threads':32}{'least':>8}{'median':>8}{'more':>8}  (goal 10 %)"]
    for kind, by_case in found.items():
        least = min(by_case["without"])
        for case, values in by_case.items():
            more = min(values) / least - 1
            lines.append(
                f"{kind + ', ' + case:32}{min(values):8.1f}{statistics.median(values):8.1f}"
                f"{more:8.1%}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
