"""Whether a model calls the tool that is needed: ``python benchmarks/needed_tools.py``.

``PYTHONPATH=src:. python benchmarks/needed_tools.py [--set known] [--model qwen2.5-coder-0.5b]
[--context 8192] [--skip 0] [--limit 60]``: starts the model with ``stoker up`` and sends it first
requests of VS Code's agent with all its tools, at temperature 0. The sets:

``known``: 60, labelled by hand with the tool that they need, which is another one than
``list_dir`` and as often each as there are cases.

``unseen``: 32 more, with other words, by which nothing was adjusted.

``plain``: 20 questions that need no tool.

Goal: 90 % call the tool that is needed, and none where none is.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from benchmarks.startup import Home
from tests.fixtures.agent import agent_request
from tests.fixtures.tool_choice import Case, cases

REQUESTS, GOAL = 60, 0.9
EASY = "list_dir"
#: A call has 20 to 60 tokens.
ANSWER_TOKENS = 96
#: What a plain question needs.
NO_TOOL = "-"
PLAIN = (
    "What is a monad?",
    "Explain the difference between a list and a tuple in Python.",
    "Thanks, that helped!",
    "Write a haiku about recursion.",
    "What does HTTP status 404 mean?",
    "What is the time complexity of quicksort?",
    "Hello!",
    "What does the keyword yield do in Python?",
    "How do I reverse a string in JavaScript?",
    "What is dependency injection?",
    "Who wrote the C programming language?",
    "Write a regular expression that matches an IPv4 address.",
    "What is the difference between TCP and UDP?",
    "Explain what a mutex is.",
    "What are the SOLID principles?",
    "Is Rust faster than Python?",
    "Convert 0x1F to decimal.",
    "What does the acronym REST stand for?",
    "When would I use a linked list instead of an array?",
    "Show me an example of a Python decorator.",
)


def known() -> list[Case]:
    """Cases by which the ranking was made, each needed tool in turn."""
    by_tool: dict[str, list[Case]] = defaultdict(list)
    for case in cases():
        is_first = len(case.request["messages"]) == 2
        if case.editor == "vscode" and case.needs != EASY and is_first:
            by_tool[case.needs].append(case)
    in_turn = chain.from_iterable(zip_longest(*by_tool.values()))
    return [case for case in in_turn if case][:REQUESTS]


def plain() -> list[Case]:
    """Questions that need no tool."""
    return [Case("vscode", each, NO_TOOL, agent_request(each)) for each in PLAIN]


SETS: dict[str, Callable[[], list[Case]]] = {
    "known": known,
    "unseen": lambda: list(cases("unseen_cases.jsonl")),
    "plain": plain,
}


def called(url: str, case: Case) -> str | None:
    """The first tool that the model calls."""
    body = {**case.request, "model": "local", "temperature": 0, "max_tokens": ANSWER_TOKENS}
    whole = json.dumps({**body, "stream": False, "stream_options": None}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "/v1/chat/completions", whole, headers)
    with urllib.request.urlopen(request, timeout=900) as answer:
        message: dict[str, Any] = json.load(answer)["choices"][0]["message"]
    calls = message.get("tool_calls") or ()
    return str(calls[0]["function"]["name"]) if calls else None


def outcomes(url: str, wanted: list[Case]) -> Iterator[str]:
    """What comes of each request, printed as it comes."""
    for case in wanted:
        name = called(url, case)
        offered = {tool["function"]["name"] for tool in case.request["tools"]}
        if (name or NO_TOOL) == case.needs:
            outcome = "needed"
        elif name is None:
            outcome = "no call"
        else:
            outcome = "another tool" if name in offered else "made up"
        print(f"{case.needs:28} {name or NO_TOOL:28} {outcome}", flush=True)
        yield outcome


def main() -> None:
    """Print a line for each request, and the shares."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--model", default="qwen2.5-coder-0.5b")
    options.add_argument("--context", type=int, default=8192, help="the window in tokens")
    options.add_argument("--set", default="known", choices=tuple(SETS))
    options.add_argument("--skip", type=int, default=0, help="requests left out before")
    options.add_argument("--limit", type=int, default=REQUESTS, help="requests")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        context = ["--context", str(asked.context)]
        home.run("up", asked.model, "--offline", "--json", "--port", str(home.port), *context)
        try:
            url = f"http://127.0.0.1:{home.port}"
            wanted = SETS[asked.set]()[asked.skip :][: asked.limit]
            found = Counter(outcomes(url, wanted))
        finally:
            home.run("down")
    total = found.total()
    shares = ", ".join(f"{name} {count}" for name, count in found.most_common())
    missed = "" if found["needed"] >= GOAL * total else f"; goal of {GOAL:.0%} MISSED"
    print(f"of {total}: {shares}{missed}")


if __name__ == "__main__":
    main()
