"""How much of agents' conversations the engine reads again: ``python benchmarks/warm.py``.

``PYTHONPATH=src:. python benchmarks/warm.py [--part conversation]``, one or several of:

``conversation``: starts llama.cpp with ``stoker up`` and sends it six recorded turns of VS Code,
then another conversation of the same editor. A line a request: tokens of the prompt, its share
that came from the engine's cache, tools kept, characters of the system prompt left out, seconds to
the first token. ``--context``, ``--model`` and ``--harness`` are for this part.

``tokenizer``: the same share for a larger model and for this one, by the tokenizer alone, at 21
speeds.

``slots``: six conversations of two clients over two slots, and one alone, with the slots that
llama.cpp chooses, as before, and with those that the gateway chooses.

``restart``: the first token of a second conversation after a restart, with a head of 2,000 tokens,
cold and kept.

``ahead``: how long a request waits that comes while a head is read ahead.

Goals: after the first request 90 % of the tokens from the cache, no request below 70 %, 15 tools or
more at a window of 8192 tokens; less than 5 % read again; a tenth of the cold time after a restart;
50 ms for what is read ahead. What is missed is marked.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import cached_by_tokenizer, reading_ahead, restart, shared_slots
from benchmarks.sent_rows import Row, another_conversation, send
from benchmarks.startup import Home
from tests.support.recorded import FIXTURES, load

ANOTHER_QUESTION = shared_slots.QUESTIONS[0]
LEAST_TOOLS = 15


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
        f" s, longest {max(row.first_token_s for row in later):.1f} s" + missed(rows)
    )


def missed(rows: Sequence[Row]) -> str:
    """Which goals were missed, to be read after the summary."""
    later = rows[1:]
    cached = sum(row.cached_tokens for row in later)
    goals = {
        "90 % from the cache": cached >= 0.9 * sum(row.prompt_tokens for row in later),
        "none below 70 %": all(row.shared >= 0.7 for row in later),
        "15 tools": min(row.tools for row in rows) >= LEAST_TOOLS,
    }
    names = [name for name, reached in goals.items() if not reached]
    return f"; MISSED: {', '.join(names)}" if names else ""


def conversation(asked: argparse.Namespace) -> None:
    """Print a line for each request, and the totals."""
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
            _shown(send(url, another_conversation(requests[0], ANOTHER_QUESTION)))
        finally:
            home.run("down")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "conversation": conversation,
    "tokenizer": lambda asked: cached_by_tokenizer.report(is_recorded=asked.record),
    "slots": lambda asked: shared_slots.report(is_recorded=asked.record),
    "restart": lambda _asked: restart.report(),
    "ahead": lambda _asked: reading_ahead.report(),
}


def main() -> None:
    """Run the parts."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--part", action="append", choices=tuple(PARTS))
    options.add_argument("--context", type=int, default=8192, help="the window in tokens")
    options.add_argument("--model", default="qwen2.5-coder-0.5b")
    options.add_argument("--harness", default="local", choices=("local", "copilot"))
    options.add_argument("--record", action="store_true", help="write the docs' tables")
    asked = options.parse_args()
    for part in asked.part or PARTS:
        print(f"{part}:")
        PARTS[part](asked)


def _shown(row: Row) -> Row:
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
