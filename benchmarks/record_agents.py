"""Record agents on a real server: ``python -m benchmarks.record_agents URL --agents 8 24 48``.

The agents are seats of the simulation with ``SHAPE``: the same seed gives the same prompts, answers
and pauses here and in ``forecast``, so a forecast can be committed before the recording. Prompts
are token ids for ``/v1/completions``; each goes on where the answer before it ended. Rounds of
``stoker size --calibrate`` come first. Prints the rows of ``data/agents_*.csv``.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from stoker.sizing.distributions import LogNormal
from stoker.sizing.workload import AGENT, SHAPES, ArrivingRequest, Workload, seats_of

#: How long agents send requests, in seconds, and within which time all have begun.
SENDING_S, BEGUN_S = 50.0, 12.0
#: Agents in the middle of their work: a part of a conversation is there, and only tools pause.
SHAPE = replace(
    SHAPES[AGENT],
    head_tokens=10_000,
    first_tokens=LogNormal.of(4000, 5000, 200, 15_000),
    append_tokens=LogNormal.of(850, 1200, 10, 8000),
    output_tokens=LogNormal.of(180, 260, 16, 1000),
    steps_per_turn=LogNormal(10_000),
    tool_s=LogNormal.of(1.0, 1.5, 0.05, 10),
    human_s=LogNormal(BEGUN_S),
)
#: Prompt tokens of the rounds that ``stoker size --calibrate`` sends, and how many at once.
_CALIBRATION = ((100, 1), (100, 1), (1000, 1), (4000, 1), (10_000, 1), (500, 2), (500, 4), (500, 8))
_CALIBRATION_ANSWER = 32
_STEPS = 200
FIELDS = (
    *("round", "at_s", "session", "head", "head_tokens", "prompt_tokens", "cached_tokens"),
    *("output_tokens", "first_token_s", "token_s"),
)


@dataclass(frozen=True)
class Step:
    """A request that an agent sends, and how long it pauses after the answer."""

    request: ArrivingRequest
    pause_s: float


@dataclass(frozen=True)
class Agent:
    """When an agent begins, and what it does."""

    first_s: float
    steps: tuple[Step, ...]


def workload(agents: int, window: int) -> Workload:
    """So many agents at once on a model with this context window."""
    return Workload(
        agents, active_share=1, mix={AGENT: 1}, shapes={AGENT: SHAPE}, max_context_tokens=window
    )


def answer_of(tokens: int) -> dict[str, Any]:
    """The fields of a request to vLLM whose streamed answer has exactly so many tokens."""
    return {
        "max_tokens": tokens,
        "min_tokens": tokens,
        "ignore_eos": True,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def drawn(agents: int, window: int, seed: int) -> list[Agent]:
    """What the seats of a simulation with this seed do, in advance."""
    found = []
    for seat in seats_of(workload(agents, window), seed):
        first_s = seat.first_s()
        steps = tuple(Step(seat.next_request(0.0), seat.pause_s()) for _ in range(_STEPS))
        found.append(Agent(first_s, steps))
    return found


def token_ids(name: str, count: int) -> list[int]:
    """Ordinary tokens of Qwen's vocabulary, the same for the same name."""
    return random.Random(name).choices(range(1000, 150_000), k=count)


class Recorder:
    """Sends the rounds to one server, and keeps a row for each answer."""

    def __init__(self, http: aiohttp.ClientSession, url: str, salt: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self._http = http
        self._url = url
        self._salt = salt
        self._sessions = 0

    async def together(self, name: str, prompt: int, count: int, answer: int) -> None:
        """``count`` requests at once, each with a prompt of its own."""
        prompts = [token_ids(f"{self._salt}/{name}/{n}", prompt) for n in range(count)]
        began_s = time.perf_counter()
        asked = [self._ask(name, began_s, self._session(), ids, answer) for ids in prompts]
        await asyncio.gather(*asked)

    async def calibration(self) -> None:
        """The rounds of ``stoker size --calibrate``, each on an idle server."""
        for number, (prompt, count) in enumerate(_CALIBRATION):
            await self.together(f"calibration {number}", prompt, count, _CALIBRATION_ANSWER)

    async def agents(self, agents: Sequence[Agent]) -> None:
        """All agents at once, until none sends any more."""
        name = f"{len(agents)} agents"
        heads = {step.request.head for agent in agents for step in agent.steps}
        ids = {head: token_ids(f"{name}/{head}", SHAPE.head_tokens) for head in sorted(heads)}
        began_s = time.perf_counter()
        await asyncio.gather(*(self._agent(name, began_s, one, ids) for one in agents))

    async def _agent(
        self, name: str, began_s: float, agent: Agent, heads: dict[str, list[int]]
    ) -> None:
        await asyncio.sleep(agent.first_s - (time.perf_counter() - began_s))
        number, session, tokens = None, 0, list[int]()
        for step in agent.steps:
            if time.perf_counter() - began_s >= SENDING_S:
                return
            asked = step.request
            if asked.session != number:
                number, session, tokens = asked.session, self._session(), list(heads[asked.head])
            more = asked.prompt_tokens - len(tokens)
            tokens += token_ids(f"{name}/{session}/{len(tokens)}", more)
            head = (f"{name}/{asked.head}", asked.head_tokens)
            tokens += await self._ask(name, began_s, session, tokens, asked.output_tokens, head)
            await asyncio.sleep(step.pause_s)

    def _session(self) -> int:
        self._sessions += 1
        return self._sessions

    async def _ask(
        self,
        name: str,
        began_s: float,
        session: int,
        prompt: list[int],
        answer_tokens: int,
        head: tuple[str, int] = ("", 0),
    ) -> list[int]:
        body = {
            "model": "m",
            "prompt": prompt,
            **answer_of(answer_tokens),
            "return_token_ids": True,
        }
        content = json.dumps(body).encode()
        sent_s = time.perf_counter()
        first_s = last_s = 0.0
        answer: list[int] = []
        usage: dict[str, Any] = {}
        async for event, at_s in self._events(content):
            usage = event.get("usage") or usage
            if event.get("choices"):
                first_s, last_s = first_s or at_s, at_s
                answer += event["choices"][0].get("token_ids") or []
        assert usage.get("completion_tokens") == answer_tokens, (name, usage)
        assert len(answer) == answer_tokens, (name, len(answer))
        details = usage.get("prompt_tokens_details") or {}
        token_s = (last_s - first_s) / (answer_tokens - 1) if answer_tokens > 1 else None
        row = (
            *(name, round(sent_s - began_s, 4), session, *head, usage["prompt_tokens"]),
            *(details.get("cached_tokens", 0), answer_tokens, round(first_s - sent_s, 4)),
            "" if token_s is None else round(token_s, 6),
        )
        self.rows.append(dict(zip(FIELDS, row, strict=True)))
        return answer

    async def _events(self, content: bytes) -> AsyncIterator[tuple[dict[str, Any], float]]:
        headers = {"Content-Type": "application/json"}
        async with self._http.post(
            self._url + "/v1/completions", data=content, headers=headers
        ) as got:
            assert got.status == 200, await got.text()
            async for line in got.content:
                if line.startswith(b"data: {"):
                    yield json.loads(line[6:]), time.perf_counter()


async def record(
    url: str, agents: Sequence[int], window: int, seed: int, *, further: bool = True
) -> list[dict[str, Any]]:
    """The rows of all rounds, in the order in which the server got them."""
    unlimited = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=unlimited, connector=connector) as http:
        recorder = Recorder(http, url, str(seed))
        if further:
            await recorder.calibration()
        for count in agents:
            await recorder.agents(drawn(count, window, seed))
    return recorder.rows


def write(rows: Sequence[dict[str, Any]], out: Any) -> None:
    """The rows as CSV, those of a round in the order in which they were sent."""
    rounds = list(dict.fromkeys(row["round"] for row in rows))
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: (rounds.index(row["round"]), row["at_s"])))


def main() -> None:
    """Record, and print the rows."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("url")
    options.add_argument("--agents", type=int, nargs="+", default=[8, 24, 48])
    options.add_argument("--window", type=int, required=True, help="the model's, in tokens")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    write(
        asyncio.run(record(asked.url, asked.agents, asked.window, asked.seed)),
        sys.stdout,
    )


if __name__ == "__main__":
    main()
