"""What the gateway costs beside a bare relay and vllm-router: ``python benchmarks/gateway.py``.

All three run in front of the same mock backend and are measured in turns, round after round, so
that drifts of the machine's speed affect all alike. CPU time is the kernel's account of the relay's
process and threads, in nanoseconds. ``--router PATH`` names a vllm-router; without it, the script
installs one in the user's cache. ``--beside FOLDER``, which may be given more than once, measures
the gateway of another tree too, such as ``git worktree add FOLDER 2de744b``, the tree before the
redesign.

Goals: a streamed chunk costs Stoker at most 1.2 times the bare relay's CPU and no more than
vllm-router's; an 8 KB request at most twice the bare relay's and 1.5 times vllm-router's; the
first token comes at most 0.5 ms later (median); the backend stops within 100 ms after a client has
left. Beside its own chats, a request of an API that is translated costs Stoker at most 1.3 times
the CPU, and a chunk of its stream at most 2.5 times. Keys, budgets, metrics and usage are on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from stoker import paths
from stoker.server.ports import any_free

HERE = Path(__file__).parent
KEY = "benchmark"
STREAMS, CHUNKS, INTERVAL_MS = 16, 400, 8
REQUESTS = 300
CONNECTIONS = 16
CHAT = "/v1/chat/completions"
#: What is translated into chats, and what its streams end with.
TRANSLATED = {"/v1/messages": b'"message_stop"}\n\n', "/v1/responses": b"}}\n\n"}


@dataclass
class Target:
    """A server under measurement: ``process`` is ``None`` for the backend itself."""

    name: str
    port: int
    process: subprocess.Popen[str]

    def cpu_s(self) -> float:
        """CPU seconds of all its running threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def start(name: str, *command: str, tree: Path = HERE.parent) -> Target:
    """Start a server that prints its port, from a tree's own benchmarks and sources."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree / "benchmarks",
        env={**os.environ, "PYTHONPATH": str(tree / "src")},
    )
    assert process.stdout is not None
    return Target(name, int(process.stdout.readline()), process)


def start_router(binary: Path, backend: Target) -> Target:
    """Start vllm-router for a single backend: no routing policy, no access log."""
    port, metrics_port = any_free(), any_free()
    options = {
        "host": "127.0.0.1",
        "port": port,
        "worker-urls": f"http://127.0.0.1:{backend.port}",
        "policy": "round_robin",
        "log-level": "error",
        "prometheus-host": "127.0.0.1",
        "prometheus-port": metrics_port,
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [str(binary), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    target = Target("vllm-router", port, process)
    for _ in range(100):
        try:
            stream(target, 1, 0, 100)
        except (OSError, AssertionError):
            time.sleep(0.2)
        else:
            return target
    raise SystemExit("vllm-router did not start")


def router_binary() -> Path:
    """The path of vllm-router, installed in its own virtual environment."""
    folder = paths.cache_dir() / "vllm-router"
    binary = folder / "bin" / "vllm-router"
    if not binary.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "vllm-router"]
        subprocess.run(pip, check=True)
    return binary


def body(
    chunks: int, interval_ms: float, size: int, streamed: bool = True, path: str = CHAT
) -> bytes:
    """A request of about ``size`` bytes. What is translated always has the backend's interval."""
    asked = [{"role": "user", "content": "word " * (size // 5)}]
    request: dict[str, Any] = {"model": "mock", "stream": streamed}
    if path == "/v1/responses":
        request |= {"input": asked, "max_output_tokens": chunks}
    else:
        request |= {"messages": asked, "max_tokens": chunks}
    if path == CHAT:
        request["interval_ms"] = interval_ms
    return json.dumps(request).encode()


def post(connection: HTTPConnection, payload: bytes, path: str = CHAT) -> Any:
    """Send a request. Returns the response, whose body is not read yet."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    connection.request("POST", path, payload, headers)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    return response


def stream(target: Target, chunks: int, interval_ms: float, size: int, path: str = CHAT) -> None:
    """One streamed answer, read to its end."""
    connection = HTTPConnection("127.0.0.1", target.port, timeout=60)
    answer = post(connection, body(chunks, interval_ms, size, path=path), path).read()
    assert answer.endswith(TRANSLATED.get(path, b"data: [DONE]\n\n")), answer[-200:]
    connection.close()


def together(count: int, work: Callable[[], None]) -> None:
    """Run ``work`` in ``count`` threads at once."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def per_chunk_us(target: Target, path: str = CHAT) -> float:
    """CPU microseconds for a chunk that arrives alone, as from an engine that decodes."""
    before = target.cpu_s()
    together(STREAMS, lambda: stream(target, CHUNKS, INTERVAL_MS, 1000, path))
    return (target.cpu_s() - before) / (STREAMS * CHUNKS) * 1e6


def per_request_us(target: Target, size: int, path: str = CHAT) -> float:
    """CPU microseconds for a request that is not streamed, over a kept connection."""
    connection = HTTPConnection("127.0.0.1", target.port, timeout=60)
    payload = body(1, 0, size, streamed=False, path=path)
    before = target.cpu_s()
    for _ in range(REQUESTS):
        post(connection, payload, path).read()
    used = target.cpu_s() - before
    connection.close()
    return used / REQUESTS * 1e6


def requests_per_s(target: Target) -> float:
    """Requests per second at 16 connections."""
    payload = body(1, 0, 8000, streamed=False)

    def client() -> None:
        connection = HTTPConnection("127.0.0.1", target.port, timeout=60)
        for _ in range(REQUESTS // 4):
            post(connection, payload).read()
        connection.close()

    began = time.perf_counter()
    together(CONNECTIONS, client)
    return CONNECTIONS * (REQUESTS // 4) / (time.perf_counter() - began)


def first_token_ms(target: Target) -> float:
    """Median time to the first byte of a stream, over a kept connection."""
    connection = HTTPConnection("127.0.0.1", target.port, timeout=60)
    payload = body(1, 0, 8000)
    times = []
    for _ in range(REQUESTS // 2):
        began = time.perf_counter()
        response = post(connection, payload)
        response.read(1)
        times.append(time.perf_counter() - began)
        response.read()
    connection.close()
    return statistics.median(times) * 1e3


def client_left_ms(target: Target, backend: Target) -> float:
    """Median time from a client's disconnect in mid-stream until the backend has stopped.

    Raises ``AssertionError`` where it has not stopped within 5 s.
    """
    watch = HTTPConnection("127.0.0.1", backend.port, timeout=60)
    times = []
    for _ in range(20):
        connection = HTTPConnection("127.0.0.1", target.port, timeout=60)
        response = post(connection, body(10_000, 1, 1000))
        response.read(1)
        began = time.perf_counter()
        response.close()
        connection.close()
        while streaming(watch):
            assert time.perf_counter() - began < 5, f"{target.name} did not stop"
        times.append(time.perf_counter() - began)
    watch.close()
    return statistics.median(times) * 1e3


def streaming(backend: HTTPConnection) -> int:
    """How many answers the mock backend is writing."""
    backend.request("GET", "/streaming")
    return int(backend.getresponse().read())


MEASURES: dict[str, Callable[[Target], float]] = {
    "CPU us per chunk": per_chunk_us,
    "CPU us per 8 KB request": lambda t: per_request_us(t, 8_000),
    "CPU us per 75 KB request": lambda t: per_request_us(t, 75_000),
    "requests/s at 16 connections": requests_per_s,
    "first byte, ms": first_token_ms,
}
#: Of Stoker alone: neither of the others translates.
OF_TRANSLATED: dict[str, Callable[[Target], float]] = {
    f"{path}: CPU us per {what}": partial(take, path=path)
    for path in TRANSLATED
    for what, take in (
        ("chunk", per_chunk_us),
        ("8 KB request", partial(per_request_us, size=8_000)),
    )
}


def main() -> None:
    """Print the medians of all rounds, and the goals."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--router", type=Path)
    parser.add_argument("--beside", type=Path, action="append", default=[])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    backend = start("mock backend", "mock_backend.py", "--interval-ms", str(INTERVAL_MS))
    url = f"http://127.0.0.1:{backend.port}"
    targets: list[Target] = []
    try:
        targets.append(start("bare relay", "bare_relay.py", "--backend", url))
        targets.append(start("Stoker", "stoker_relay.py", "--backend", url))
        targets.append(start_router(arguments.router or router_binary(), backend))
        for tree in arguments.beside:
            relay = ("stoker_relay.py", "--backend", url)
            targets.append(start(tree.name, *relay, tree=tree.resolve()))
        results = measure(arguments.rounds, targets, backend)
        left_ms = client_left_ms(targets[1], backend)
        results["client left, ms"] = {targets[1].name: left_ms}
    finally:
        for target in (*targets, backend):
            target.process.terminate()
    print(json.dumps(results, indent=2) if arguments.json else table(results))


def measure(rounds: int, targets: list[Target], backend: Target) -> dict[str, dict[str, float]]:
    """Median of each measure for each target; the first round warms up and is not counted."""
    seen: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds + 1):
        for measure_name, take in {**MEASURES, **OF_TRANSLATED}.items():
            measured = [*targets, backend] if measure_name == "first byte, ms" else targets
            if measure_name in OF_TRANSLATED:
                measured = [target for target in targets if target.name == "Stoker"]
            for target in measured:
                value = take(target)
                if number:
                    seen.setdefault(measure_name, {}).setdefault(target.name, []).append(value)
    return {
        name: {target: statistics.median(values) for target, values in by_target.items()}
        for name, by_target in seen.items()
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as text, beside the goals."""
    names = list(results["CPU us per chunk"])
    lines = [f"{'':40}" + "".join(f"{name:>14}" for name in names)]
    for measure_name, by_target in results.items():
        cells = (f"{by_target[n]:14.2f}" if n in by_target else " " * 14 for n in names)
        lines.append(f"{measure_name:40}" + "".join(cells))
    chunk, request = results["CPU us per chunk"], results["CPU us per 8 KB request"]
    first = results["first byte, ms"]
    added = first["Stoker"] - first["mock backend"]
    lines += [
        "",
        f"chunk: {chunk['Stoker'] / chunk['bare relay']:.2f} of the bare relay (goal 1.2), "
        f"{chunk['Stoker'] / chunk['vllm-router']:.2f} of vllm-router (goal 1)",
        f"8 KB request: {request['Stoker'] / request['bare relay']:.2f} of the bare relay (goal 2),"
        f" {request['Stoker'] / request['vllm-router']:.2f} of vllm-router (goal 1.5)",
        f"first byte: {added:.2f} ms later than the backend alone (goal 0.5)",
        f"the backend stops {results['client left, ms']['Stoker']:.1f} ms after a client left "
        "(goal 100)",
        *map(partial(of_translated, results), TRANSLATED),
    ]
    return "\n".join(lines)


def of_translated(results: dict[str, dict[str, float]], path: str) -> str:
    """What a path that is translated costs beside the same chats."""
    chunk, request = (
        results[f"{path}: {name}"]["Stoker"] / results[name]["Stoker"]
        for name in ("CPU us per chunk", "CPU us per 8 KB request")
    )
    return (
        f"{path}: a chunk costs {chunk:.2f} of a chat's (goal 2.5), an 8 KB request {request:.2f} "
        "(goal 1.3)"
    )


if __name__ == "__main__":
    main()
