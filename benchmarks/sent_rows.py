"""Send recorded requests as an editor does, and report how the engine read each."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
#: The reading counts here: a few tokens of an answer are enough. Unlike ``max_tokens``, llama.cpp's
#: own name takes no room from the answer, so that the prompt is fitted as an editor's is.
ANSWER = {"n_predict": 4}


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


def another_conversation(request: Body, question: str) -> Body:
    """The same request of a conversation that begins as another one did, and asks otherwise."""
    text = json.dumps(request["messages"])
    asked = re.search(r"<userRequest>\\n(.*?)\\n</userRequest>", text)
    other = text.replace(asked[1], question) if asked else text
    return {**request, "messages": json.loads(other)}
