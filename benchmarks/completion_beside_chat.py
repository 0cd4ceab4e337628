"""What typing with suggestions costs a chat: its first token and its speed, side by side.

Starts ``stoker up`` with SmolLM2-135M to chat and Qwen2.5-Coder-0.5B to complete, both by the real
llama.cpp on this CPU. Someone types 5 characters a second; each asks for a suggestion and aborts
the one before; after every eighth the person looks up for 1.5 s. In turn, a chat comes while
nobody types, while they type, and while they type against a server that gives turns no precedence:
completions are not held, and their engine is not paused and has the same share of the cores
(``plain``; needs root to give that back).

Goal: while they type, the first token comes at most 50 ms later (median of the pairs with a chat
alone right before or after). The interval holds that median in 95 of 100 (bootstrap of the pairs).

    completion_beside_chat.py [--rounds 12] [--arm typing]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from tests.support import real_models

from stoker.server.completion_niceness import COMPLETION_NICENESS
from stoker.server.ports import any_free

GOAL_S = 0.05
KEY_S, KEYS_A_BURST, LOOK_S = 0.2, 8, 1.5
PROMPT_WORDS, ANSWER_TOKENS, SUGGESTION_TOKENS = 250, 24, 12
ARMS = ("alone", "typing", "plain")
_SAMPLES = 4000
_TEXT = Path(__file__).read_text(encoding="utf-8")


@dataclass
class Seen:
    """What was measured in one arm, in seconds."""

    first_token_s: list[float] = field(default_factory=list)
    token_s: list[float] = field(default_factory=list)
    suggestion_s: list[float] = field(default_factory=list)
    #: Suggestions that were begun, and that came.
    begun: int = 0


class Typist:
    """Types a file, and asks for a suggestion at each key."""

    def __init__(self, http: aiohttp.ClientSession, model: str, seen: Seen, priority: str) -> None:
        self._http, self._model, self._seen = http, model, seen
        self._headers = {"x-stoker-priority": priority}
        self._at = 400

    async def type(self) -> None:
        """Type until cancelled."""
        asking: asyncio.Task[None] | None = None
        try:
            for key in itertools.count(1):
                if asking:
                    asking.cancel()
                self._at += 1
                asking = asyncio.create_task(self._ask())
                await asyncio.sleep(KEY_S if key % KEYS_A_BURST else LOOK_S)
        finally:
            if asking:
                asking.cancel()

    async def _ask(self) -> None:
        began = time.perf_counter()
        self._seen.begun += 1
        body = {
            "model": self._model,
            "input_prefix": _TEXT[: self._at],
            "input_suffix": _TEXT[self._at : self._at + 400],
            "n_predict": SUGGESTION_TOKENS,
        }
        async with self._http.post("/infill", json=body, headers=self._headers) as response:
            await response.read()
            if response.status == 200:
                self._seen.suggestion_s.append(time.perf_counter() - began)


async def chat(http: aiohttp.ClientSession, number: int, seen: Seen) -> None:
    """One chat whose prompt no cache holds."""
    words = " ".join(f"w{number * 7919 + i * 31}" for i in range(PROMPT_WORDS // 4))
    body = {
        "messages": [{"role": "user", "content": f"{number}: {words}. Go on."}],
        "max_tokens": ANSWER_TOKENS,
        "stream": True,
        "ignore_eos": True,
    }
    began, first, last, tokens = time.perf_counter(), 0.0, 0.0, 0
    async with http.post("/v1/chat/completions", json=body) as response:
        async for line in response.content:
            if line.startswith(b"data: {") and b'"content":"' in line:
                last = time.perf_counter()
                first = first or last
                tokens += 1
    seen.first_token_s.append(first - began)
    if tokens > 1:
        seen.token_s.append((last - first) / (tokens - 1))


async def measure(
    endpoint: str, status: dict[str, Any], rounds: int, arms: Sequence[str]
) -> dict[str, Seen]:
    """Each arm in turn, forwards and backwards, so that what else goes on meets all alike."""
    seen = {arm: Seen() for arm in arms}
    model, pid = status["completion"]["served_name"], status["completion"]["engine_pid"]
    numbers = itertools.count()
    async with aiohttp.ClientSession(endpoint) as http:
        for turn in range(rounds):
            for arm in arms if turn % 2 else reversed(arms):
                weigh(pid, 0 if arm == "plain" else COMPLETION_NICENESS)
                going = asyncio.create_task(keep_going(pid)) if arm == "plain" else None
                priority = "completion" if arm == "typing" else "turn"
                typist = Typist(http, model, seen[arm], priority)
                typing = asyncio.create_task(typist.type()) if arm != "alone" else None
                await asyncio.sleep(2.5)
                await chat(http, next(numbers), seen[arm])
                if typing:
                    typing.cancel()
                    await asyncio.gather(typing, return_exceptions=True)
                if going:
                    going.cancel()
                await asyncio.sleep(0.5)
    return seen


async def keep_going(pid: int) -> None:
    """Undo each pause of the completion engine."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.002)


def weigh(pid: int, niceness: int) -> None:
    """Give the completion engine this share of the cores, as far as the system lets us."""
    for thread in psutil.Process(pid).threads():
        with contextlib.suppress(OSError, psutil.Error):
            psutil.Process(thread.id).nice(niceness)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


@contextlib.contextmanager
def two_models() -> Iterator[tuple[str, dict[str, Any]]]:
    """Both models behind one gateway: its address, and what ``stoker status`` shows."""
    with tempfile.TemporaryDirectory() as name:
        home, port = Path(name), any_free()
        real_models.share_cache(home / "cache")
        env = {**os.environ, "STOKER_HOME": name}

        def stoker(*words: str) -> str:
            argv = [sys.executable, "-m", "stoker", *words]
            return subprocess.run(argv, env=env, check=True, capture_output=True, text=True).stdout

        try:
            asked = ("--port", str(port), "--offline", "--yes", "--context", "4096", "--json")
            coder = str(real_models.qwen())
            stoker("up", str(real_models.smollm2()), *asked, "--completion", coder)
            while True:
                status = json.loads(stoker("status", "--json"))
                if status["completion"]["status"] == "ready":
                    break
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}", status
        finally:
            stoker("down")


def report(seen: dict[str, Seen]) -> None:
    """Print one line for each arm, and whether the goal is missed."""
    alone = statistics.median(seen["alone"].first_token_s)
    for arm, it in seen.items():
        first = statistics.median(it.first_token_s)
        paired = [a - b for a, b in zip(it.first_token_s, seen["alone"].first_token_s, strict=True)]
        later, (least, most) = statistics.median(paired), interval(paired)
        line = (
            f"{arm:7} first token {first * 1000:5.0f} ms ({(first - alone) * 1000:+5.0f}; "
            f"{len(paired)} pairs {later * 1000:+5.0f}, between {least * 1000:+.0f} and "
            f"{most * 1000:+.0f}), {1 / statistics.median(it.token_s):4.1f} tokens/s"
        )
        if it.suggestion_s:
            line += (
                f"; {it.begun} suggestions begun, {len(it.suggestion_s)} came, after "
                f"{statistics.median(it.suggestion_s) * 1000:.0f} ms"
            )
        if arm == "typing" and later > GOAL_S:
            line += f"   MISSED: goal {GOAL_S * 1000:.0f} ms"
        print(line)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Between what the median is in 95 of 100 samples drawn from the values (percentiles)."""
    chance = random.Random(19)
    drawn = sorted(
        statistics.median(chance.choices(values, k=len(values))) for _ in range(_SAMPLES)
    )
    return drawn[_SAMPLES // 40], drawn[-1 - _SAMPLES // 40]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--arm", action="append", choices=ARMS[1:], help="beside a chat alone")
    asked = parser.parse_args()
    arms = ("alone", *(asked.arm or ARMS[1:]))
    with two_models() as (endpoint, status):
        report(asyncio.run(measure(endpoint, status, asked.rounds, arms)))


if __name__ == "__main__":
    main()
