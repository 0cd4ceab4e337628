"""Agents' chats through one URL or several in turns, in front of the same replicas.

``python -m benchmarks.routed_agents NAME=URL ... --agents 20 --window 40960 --seeds 1 2`` prints
JSON: for each pass the share of prompt tokens that was cached, the time to the first token, and
the tokens that were written in a second. The agents are those of ``record_agents``, with text in
place of token ids, because routers read text. All passes of a seed have the same lengths and
pauses; no pass finds what another one has left in a cache, because its heads have its own name.

``python -m benchmarks.routed_agents --record`` runs nothing: it writes the table of the docs from
the passes of ``data/routing_h200.csv`` and from what ``agents_forecast`` predicted of them.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import functools
import json
import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from benchmarks.last_runs import record_table
from benchmarks.record_agents import SENDING_S, SHAPE, Agent, answer_of, drawn

#: Tokens that the template adds to a message: its marks and its role.
_MESSAGE_TOKENS = 5


@functools.cache
def vocabulary(tokenizer: Path) -> tuple[str, ...]:
    """Words that are one token with the space before them, in order of their tokens."""
    words = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
    plain = (w[1:] for w in words if w.startswith("\u0120") and w[1:].isascii() and w[1:].isalpha())
    return tuple(word for word in plain if len(word) > 3)[:20_000]


def text(tokenizer: Path, name: str, count: int) -> str:
    """About ``count`` tokens, the same for the same name."""
    return " " + " ".join(random.Random(name).choices(vocabulary(tokenizer), k=max(1, count)))


class Pass:
    """One pass of all agents through one URL."""

    def __init__(self, http: aiohttp.ClientSession, url: str, name: str, tokenizer: Path) -> None:
        self.rows: list[dict[str, float]] = []
        self.failures: list[str] = []
        self._http = http
        self._url = url
        self._name = name
        self._text = functools.partial(text, tokenizer)
        self._began_s = 0.0

    async def run(self, agents: Sequence[Agent]) -> dict[str, Any]:
        """All agents at once, until none sends any more."""
        heads = {step.request.head for agent in agents for step in agent.steps}
        head_tokens = SHAPE.head_tokens - _MESSAGE_TOKENS
        texts = {h: self._text(f"{self._name}/{h}", head_tokens) for h in sorted(heads)}
        self._began_s = time.perf_counter()
        each = (self._agent(number, one, texts) for number, one in enumerate(agents))
        await asyncio.gather(*each)
        return self._result(time.perf_counter() - self._began_s)

    async def _agent(self, number: int, agent: Agent, heads: Mapping[str, str]) -> None:
        await asyncio.sleep(agent.first_s)
        session, held = None, 0
        messages: list[dict[str, str]] = []
        for count, step in enumerate(agent.steps):
            if time.perf_counter() - self._began_s >= SENDING_S:
                return
            asked = step.request
            if asked.session != session:
                session, held = asked.session, SHAPE.head_tokens
                messages = [{"role": "system", "content": heads[asked.head]}]
            name = f"{self._name}/{number}/{count}"
            more = asked.prompt_tokens - held - _MESSAGE_TOKENS
            messages.append({"role": "user", "content": self._text(name, more)})
            await self._ask(messages, asked.output_tokens)
            answer = self._text(f"{name}/answer", asked.output_tokens - _MESSAGE_TOKENS)
            messages.append({"role": "assistant", "content": answer})
            held = asked.prompt_tokens + asked.output_tokens
            await asyncio.sleep(step.pause_s)

    async def _ask(self, messages: list[dict[str, str]], answer_tokens: int) -> None:
        body = {
            "model": "m",
            "messages": messages,
            **answer_of(answer_tokens),
        }
        sent_s = time.perf_counter()
        first_s, usage = 0.0, dict[str, Any]()
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        url = self._url + "/v1/chat/completions"
        async with self._http.post(url, data=content, headers=headers) as got:
            if got.status != 200:
                self.failures.append(f"{got.status}: {(await got.text())[:200]}")
                return
            async for line in got.content:
                if not line.startswith(b"data: {"):
                    continue
                event = json.loads(line[6:])
                usage = event.get("usage") or usage
                if event.get("choices") and not first_s:
                    first_s = time.perf_counter() - sent_s
        if not usage:
            self.failures.append("an answer without usage")
            return
        details = usage.get("prompt_tokens_details") or {}
        self.rows.append(
            {
                "at_s": round(sent_s - self._began_s, 4),
                "prompt_tokens": usage["prompt_tokens"],
                "cached_tokens": details.get("cached_tokens", 0),
                "output_tokens": usage["completion_tokens"],
                "first_token_s": round(first_s, 4),
                "total_s": round(time.perf_counter() - sent_s, 4),
            }
        )

    def _result(self, took_s: float) -> dict[str, Any]:
        first = sorted(row["first_token_s"] for row in self.rows)
        prompts = sum(row["prompt_tokens"] for row in self.rows)
        return {
            "requests": len(self.rows),
            "failures": self.failures,
            "prompt_tokens": prompts,
            "cached_share": sum(row["cached_tokens"] for row in self.rows) / max(1, prompts),
            "first_token_p50_s": statistics.median(first) if first else None,
            "first_token_p95_s": first[int(len(first) * 0.95)] if first else None,
            "output_tokens_per_s": sum(row["output_tokens"] for row in self.rows) / took_s,
            "took_s": took_s,
            "rows": self.rows,
        }


async def passes(
    urls: Mapping[str, str], agents: int, window: int, seeds: Sequence[int], tokenizer: Path
) -> list[dict[str, Any]]:
    """A pass of each URL for each seed; which one comes first changes from seed to seed."""
    found = []
    limits = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(limit=0)) as h:
        for turn, seed in enumerate(seeds):
            order = list(urls)
            first = turn % len(order)
            for name in order[first:] + order[:first]:
                one = Pass(h, urls[name], f"{seed}/{name}", tokenizer)
                result = await one.run(drawn(agents, window, seed))
                found.append({"server": name, "seed": seed, **result})
    return found


_DATA = Path(__file__).parent / "data"
_COLUMNS = {
    "share cached": "cached_share",
    "first token P50": "first_token_p50_s",
    "first token P95": "first_token_p95_s",
    "tokens a second": "output_tokens_per_s",
}


def record() -> None:
    """Write the recorded and the predicted ratios to a pass that shares requests evenly."""
    with (_DATA / "routing_h200.csv").open(newline="", encoding="utf-8") as file:
        passes = list(csv.DictReader(file))
    measured: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in passes:
        measured.setdefault(row["server"], {})[row["seed"]] = row
    predictions = (_DATA / "predictions_h200_agents_2026-11-29.json").read_text(encoding="utf-8")
    predicted = json.loads(predictions)["routing"]
    evenly = measured.pop("vllm-router 0.1.17 round_robin")
    rows = [("predicted", *_ratios(predicted["prefix_aware"], predicted["random"]))]
    rows += [(name, *_ratios(by_seed, evenly)) for name, by_seed in measured.items()]
    head = ("ratio to round robin", *_COLUMNS)
    record_table("routed_agents", head, rows, "recorded on an H200")


def _ratios(
    passes: Mapping[str, Mapping[str, Any]], evenly: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """For each column the ratio in each seed, in the seeds' order."""
    return [
        ", ".join(f"{float(passes[s][key]) / float(evenly[s][key]):.2f}" for s in sorted(passes))
        for key in _COLUMNS.values()
    ]


def main() -> None:
    """Run the passes, and print them as JSON."""
    if sys.argv[1:] == ["--record"]:
        record()
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("urls", nargs="+", metavar="NAME=URL")
    options.add_argument("--agents", type=int, default=20)
    options.add_argument("--window", type=int, required=True, help="the model's, in tokens")
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    options.add_argument("--tokenizer", type=Path, required=True, help="its tokenizer.json")
    asked = options.parse_args()
    urls = dict(one.split("=", 1) for one in asked.urls)
    run = passes(urls, asked.agents, asked.window, asked.seeds, asked.tokenizer)
    print(json.dumps(asyncio.run(run)))


if __name__ == "__main__":
    main()
