"""What reaches the engine of a recorded agent conversation that is sent through the gateway.

``PYTHONPATH=src:. python benchmarks/agent_conversation.py [--window 8192 --window 16384]``: replays
six turns of VS Code's local harness and of its Copilot harness, recorded with a window in which
nothing is cut, through a gateway in front of a server with a small window. A line a request: tokens
offered, tokens of the prompt, its share of the budget (``!``: room was left), the share of the
prompt that is the beginning of the one before, and what is missing: core tools, or what a competent
model needs to go on.

Goals: nothing missing, 90 % of the budget used wherever as much was offered, 0.85 shared on
average.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
from tests.support import agent_report, recorded
from tests.support.scripted_model import ScriptedModel

from stoker.server.ports import any_free

CONVERSATIONS = {
    "six_turns_local": agent_report.LOCAL_CORE,
    "six_turns_copilot": agent_report.COPILOT_CORE,
}


@contextmanager
def gateway(url: str) -> Iterator[str]:
    """A gateway in front of the server at ``url``, with its own home."""
    with tempfile.TemporaryDirectory() as home:
        port = any_free()
        stoker = [sys.executable, "-m", "stoker"]
        environment = {**os.environ, "STOKER_HOME": home}
        adopt = [*stoker, "adopt", url, "--port", str(port)]
        subprocess.run(adopt, env=environment, check=True, stdout=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            down = [*stoker, "down"]
            subprocess.run(down, env=environment, check=True, stdout=subprocess.DEVNULL)


def replay(name: str, window_tokens: int) -> list[agent_report.Row]:
    """Send a recorded conversation through a gateway; report what arrived behind it."""
    offered = recorded.load(recorded.FIXTURES / f"{name}.json.gz")
    with ScriptedModel(window_tokens) as model, gateway(model.url) as url:
        tried = len(model.of_kind("agent"))  # the gateway's own probes of the tools
        for body in offered:
            request = urllib.request.Request(
                url + "/v1/chat/completions",
                orjson.dumps(body),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                answer.read()
        arrived = [each.body for each in model.of_kind("agent")[tried:]]
    return agent_report.rows(offered, arrived, window_tokens, CONVERSATIONS[name])


def main() -> None:
    """Print the report of each conversation at each window."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--window", type=int, action="append", help="tokens; 8192 and 16384")
    for window in options.parse_args().window or (8192, 16384):
        for name in CONVERSATIONS:
            print(f"{name} at {window:,} tokens")
            print("\n".join(agent_report.lines(replay(name, window))), end="\n\n")


if __name__ == "__main__":
    main()
