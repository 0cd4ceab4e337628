"""What the gateway costs while an agent's conversation grows.

Run it with ``python benchmarks/agent_growth.py``.

500 steps of an agent, a call and its result each, grow to 150,000 tokens (750 KB) and are sent to a
mock of vLLM: directly, through a bare aiohttp relay, and through Stoker, in turns, so that drifts
of the machine's speed affect all alike. The mock counts at ``/tokenize`` and reports the same
tokens as ``usage``. The window is 262,144 tokens, so nothing has to be cut.

Goals: 0 calls to count; the first byte of the last 100 steps at most 3 ms later than directly
(median); at most twice the bare relay's CPU.
"""

from __future__ import annotations

import json
import statistics
import time
from http.client import HTTPConnection
from typing import Any

from gateway import Target, post, start

STEPS, LAST_STEPS = 500, 100
BYTES = 750_000
WINDOW = 262_144


def requests() -> list[bytes]:
    """The body of each step's request."""
    names = ("read_file", "edit_file", "run_command", "list_dir", "search")
    tools = [_tool(name) for name in names]
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "You are a coding agent. " * 200},
        {"role": "user", "content": "Make the tests pass."},
    ]
    bodies = []
    a_result = (BYTES - 10_000) // STEPS - 300
    for step in range(STEPS):
        bodies.append(_body(messages, tools))
        name = names[step % len(names)]
        function = {"name": name, "arguments": json.dumps({"path": f"src/module_{step}.py"})}
        call = {"id": f"call_{step}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": "Next.", "tool_calls": [call]})
        line = f"{step}: def value(self) -> int: return self._value\n"
        text = (line * (a_result // len(line) + 1))[:a_result]
        messages.append({"role": "tool", "tool_call_id": f"call_{step}", "content": text})
    return bodies


def _tool(name: str) -> dict[str, Any]:
    properties = {"path": {"type": "string", "description": "The path of a file."}}
    parameters = {"type": "object", "properties": properties, "required": ["path"]}
    function = {"name": name, "description": f"{name}: one tool. " * 10, "parameters": parameters}
    return {"type": "function", "function": function}


def _body(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> bytes:
    request = {"model": "mock", "stream": True, "max_tokens": 4, "stream_options": _WITH_USAGE}
    return json.dumps({**request, "messages": messages, "tools": tools}).encode()


_WITH_USAGE = {"include_usage": True}


def step_ms(connection: HTTPConnection, body: bytes) -> float:
    """Milliseconds until the first byte of an answer, which is read to its end."""
    began = time.perf_counter()
    response = post(connection, body)
    response.read(1)
    waited = time.perf_counter() - began
    response.read()
    return waited * 1e3


def counted(backend: Target) -> int:
    """How often the mock was asked to count."""
    connection = HTTPConnection("127.0.0.1", backend.port, timeout=60)
    connection.request("GET", "/counted")
    return int(connection.getresponse().read())


def main() -> None:
    """Print the figures beside the goals."""
    bodies = requests()
    backend = start("mock vLLM", "mock_backend.py")
    url = f"http://127.0.0.1:{backend.port}"
    bare = start("bare relay", "bare_relay.py", "--backend", url)
    options = ("--engine", "vllm", "--window", str(WINDOW))
    stoker = start("Stoker", "stoker_relay.py", "--backend", url, *options)
    try:
        report(bodies, backend, bare, stoker)
    finally:
        for target in (bare, stoker, backend):
            target.process.terminate()


def report(bodies: list[bytes], backend: Target, bare: Target, stoker: Target) -> None:
    """Replay the conversation to all three in turns."""
    targets = (backend, bare, stoker)
    open_ = {t.name: HTTPConnection("127.0.0.1", t.port, timeout=60) for t in targets}
    cpu_s = {t.name: -t.cpu_s() for t in targets}
    times: dict[str, list[float]] = {t.name: [] for t in targets}
    for body in bodies:
        for target in targets:
            times[target.name].append(step_ms(open_[target.name], body))
    for target in targets:
        cpu_s[target.name] += target.cpu_s()
    first = {name: statistics.median(ms[-LAST_STEPS:]) for name, ms in times.items()}
    per_step = {name: seconds / len(bodies) * 1e3 for name, seconds in cpu_s.items()}
    ratio = per_step[stoker.name] / per_step[bare.name]
    print(f"calls to count: {counted(backend)} (goal 0)")
    for name in (bare.name, stoker.name):
        added = first[name] - first[backend.name]
        print(f"{name}: first byte {added:.2f} ms later, {per_step[name]:.2f} ms of CPU a step")
    print(f"Stoker: {ratio:.2f} of the bare relay's CPU (goal 2); first byte goal 3 ms")


if __name__ == "__main__":
    main()
