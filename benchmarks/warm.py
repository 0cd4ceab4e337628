"""How much of an agent's conversation the engine reads again: ``python benchmarks/warm.py``.

``PYTHONPATH=src:. python benchmarks/warm.py [--context 8192] [--model qwen2.5-coder-0.5b]``:
starts llama.cpp with ``stoker up`` and sends it six recorded turns of VS Code, then another
conversation of the same editor. A line a request: tokens of the prompt, its share that came from
the engine's cache, tools kept, characters of the system prompt left out, seconds to the first
token.

Goals: after the first request 90 % of the tokens from the cache, no request below 70 %, 15 tools or
more at a window of 8192 tokens.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.startup import Home
from tests.support.recorded import FIXTURES, load

Body = dict[str, Any]
#: The reading counts here: a few tokens of an answer are enough. Unlike ``max_tokens``, llama.cpp's
#: own name takes no room from the answer, so that the prompt is fitted as an editor's is.
ANSWER = {"n_predict": 4}
ANOTHER_QUESTION = "Add a license header to every file in the folder src."


@dataclass(frozen=True)
class Row:
    """One request, as the engine read it."""

    prompt_tokens: int
    cached_tokens: int
    tools: int
    system_chars_cut: int
    first_token_s: float

    @property
    def shared(self) -> float:
        """The share of the prompt that was in the engine's cache."""
        return self.cached_tokens / max(1, self.prompt_tokens)

    def __str__(self) -> str:
        return (
            f"{self.prompt_tokens:>7} {self.shared:>7.1%} {self.tools:>6} "
            f"{self.system_chars_cut:>11} {self.first_token_s:>8.1f}"
        )


def send(url: str, body: Body) -> Row:
    """Send one request as an editor does; what its answer reports."""
    asked = {**body, **ANSWER, "model": "local", "stream": True}
    asked["stream_options"] = {"include_usage": True}
    asked.pop("max_tokens", None)
    request = urllib.request.Request(
        url + "/v1/chat/completions",
        json.dumps(asked).encode(),
        {"Content-Type": "application/json"},
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=1800) as answer:
        fit = answer.headers.get("x-stoker-fit") or ""
        first_s, usage = None, {}
        for event in _events(answer):
            if first_s is None and event.get("choices"):
                first_s = time.perf_counter() - began
            usage = event.get("usage") or usage
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    tools = re.search(r"tools=\d+>(\d+)", fit)
    system = re.search(r"system=-(\d+)ch", fit)
    return Row(
        usage["prompt_tokens"],
        cached,
        int(tools[1]) if tools else len(body.get("tools") or ()),
        int(system[1]) if system else 0,
        first_s or 0.0,
    )


def _events(answer: Any) -> Iterator[Body]:
    for line in answer:
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def another_conversation(first: Body) -> Body:
    """The first request of a conversation that begins as another one did, and asks otherwise."""
    text = json.dumps(first["messages"][-1])
    asked = re.search(r"<userRequest>\\n(.*?)\\n</userRequest>", text)
    other = text.replace(asked[1], ANOTHER_QUESTION) if asked else text
    return {**first, "messages": [*first["messages"][:-1], json.loads(other)]}


def summary(rows: Sequence[Row]) -> str:
    """All requests but the first, which finds an empty cache."""
    later = rows[1:]
    prompts = sum(row.prompt_tokens for row in later)
    return (
        f"{len(rows)} requests; after the first: "
        f"{sum(row.cached_tokens for row in later) / max(1, prompts):.1%} of {prompts:,} tokens "
        f"from the cache, {min(row.shared for row in later):.1%} at least, "
        f"{sum(row.shared < 0.7 for row in later)} below 70%; tools {min(r.tools for r in rows)} "
        f"or more; median first token {sorted(r.first_token_s for r in later)[len(later) // 2]:.1f}"
        f" s, longest {max(row.first_token_s for row in later):.1f} s"
    )


def main() -> None:
    """Print a line for each request, and the totals."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--context", type=int, default=8192, help="the window in tokens")
    options.add_argument("--model", default="qwen2.5-coder-0.5b")
    options.add_argument("--harness", default="local", choices=("local", "copilot"))
    asked = options.parse_args()
    requests = load(FIXTURES / f"six_turns_{asked.harness}.json.gz")
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        context = ["--context", str(asked.context)]
        home.run("up", asked.model, "--offline", "--json", "--port", str(home.port), *context)
        try:
            url = f"http://127.0.0.1:{home.port}"
            print(f"{'prompt':>7} {'cached':>7} {'tools':>6} {'system cut':>11} {'first s':>8}")
            rows = [_shown(send(url, request)) for request in requests]
            print(summary(rows))
            print("another conversation:")
            _shown(send(url, another_conversation(requests[0])))
        finally:
            home.run("down")


def _shown(row: Row) -> Row:
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
