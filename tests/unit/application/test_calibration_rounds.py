"""What ``stoker size --calibrate`` sends, when it sends it, and that it ends in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from benchmarks import fixed_speed_server

from stoker.application import endpoint_speed
from stoker.application.calibration_rounds import (
    LIGHT,
    LIGHT_REQUESTS,
    MOST_S,
    RoundSizes,
    Size,
    capacity_per_s,
    measure_rounds,
)
from stoker.application.capacity_request import CapacityRequest, GpuWish
from stoker.checks.bench import BenchTarget
from stoker.engines import Backend
from stoker.errors import StokerError
from stoker.sizing import (
    ArrivingRequest,
    LlamaCppReplica,
    LogNormal,
    MeasuredAnswer,
    MeasuredRound,
    StepTimes,
    calibrate,
)
from stoker.sizing.step_calibration import replay_rounds

PLANNED = LlamaCppReplica(
    StepTimes.of_rates(prefill_tokens_per_s=2000, decode_tokens_per_s=100), n_slots=4, n_ctx=4096
)
PROMPT, ANSWER = LogNormal(800, 0.5, 100, 3000), LogNormal(30, 0.5, 4, 100)
SIZES = RoundSizes(
    alone=[(size, 30) for size in (200, 200, 1000, 3000)],
    together=(800, 40),
    light=(PROMPT, ANSWER),
)
#: The sender counts characters.
TOKEN_CHARS = 4


class SimulatedServer:
    """Answers as a server that is so many times slower than planned does, on a clock of its own."""

    def __init__(self, slower: float) -> None:
        rates = {"prefill_tokens_per_s": 2000 / slower, "decode_tokens_per_s": 100 / slower}
        self.replica = replace(PLANNED, step_times=StepTimes.of_rates(**rates))
        self.now_s = 0.0
        self.lines: list[str] = []
        self._sent = 0

    async def send(self, sizes: Sequence[Size], due_s: Sequence[float]) -> list[MeasuredAnswer]:
        asked = [
            MeasuredAnswer(ArrivingRequest(at, self._sent + i, size // TOKEN_CHARS, tokens), 1.0)
            for i, (at, (size, tokens)) in enumerate(zip(due_s, sizes, strict=True))
        ]
        self._sent += len(asked)
        times = replay_rounds([asked], self.replica)
        answers = [MeasuredAnswer(a.request, *each) for a, each in zip(asked, times, strict=True)]
        self.now_s += max(
            a.request.at_s + a.first_token_s + (a.token_s or 0) * (a.request.output_tokens - 1)
            for a in answers
        )
        return answers


@cache
def calibrated(slower: float) -> tuple[SimulatedServer, list[MeasuredRound]]:
    """A server after its calibration, and the rounds."""
    server = SimulatedServer(slower)
    rounds = measure_rounds(server.send, SIZES, PLANNED, server.lines.append, lambda: server.now_s)
    return server, asyncio.run(rounds)


@pytest.mark.parametrize("slower", [0.1, 1, 4])
def test_the_last_round_comes_at_a_light_load_of_what_the_server_sustains(slower: float) -> None:
    server, (*first, light) = calibrated(slower)
    assert [len(answers) for answers in first] == [1, 1, 1, 2, 4, 8]  # without the warm-up
    assert len(light) == LIGHT_REQUESTS
    came_s = [answer.request.at_s for answer in light]
    assert came_s == sorted(set(came_s))
    sustained = capacity_per_s(server.replica, PROMPT.scaled(1 / TOKEN_CHARS), ANSWER)
    # They are drawn from the time that 20 take on average; the last comes near its end.
    assert 0.8 < came_s[-1] / (LIGHT_REQUESTS / (LIGHT * sustained)) < 1.1


@pytest.mark.parametrize("slower", [0.1, 1, 10, 20, 80])
def test_calibration_ends_in_time_and_a_slow_server_gets_fewer_requests(slower: float) -> None:
    server, (*first, light) = calibrated(slower)
    assert any(first)
    assert server.now_s < MOST_S * 1.1
    said = f"{len(light)} requests at a light load" if light else "too slow for requests"
    assert said in server.lines[-1]
    assert not light or len(light) >= 5


def test_only_a_slow_server_gets_fewer_requests() -> None:
    counts = [sum(map(len, calibrated(slower)[1])) for slower in (1, 10, 20, 80)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 37 > counts[1] > counts[-1]


def test_a_server_too_slow_for_a_light_load_is_calibrated_without() -> None:
    server, rounds = calibrated(80)
    assert not rounds[-1]
    fitted = replace(PLANNED, step_times=calibrate(rounds, PLANNED))
    alone = [[MeasuredAnswer(ArrivingRequest(0.0, 999, 150, 30), 1.0)]]
    ((got_s, _),), ((true_s, _),) = (
        replay_rounds(alone, each) for each in (fitted, server.replica)
    )
    assert got_s == pytest.approx(true_s, rel=0.15)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server that answers at once, and what it was asked."""
    monkeypatch.setattr(fixed_speed_server, "READ_S", 1e-6)
    monkeypatch.setattr(fixed_speed_server, "WRITE_S", 1e-4)
    asked: list[dict[str, Any]] = []

    @web.middleware
    async def keep(request: web.Request, handler: Any) -> web.StreamResponse:
        asked.append(await request.json())
        answer: web.StreamResponse = await handler(request)
        return answer

    app = fixed_speed_server.application()
    app.middlewares.append(keep)
    async with TestServer(app) as running:
        url = str(running.make_url("")).rstrip("/")
        yield BenchTarget(Backend(url, "any"), fixed_speed_server.MODEL), asked


WANTED = CapacityRequest(
    developers=12, gpus=(GpuWish("RTX PRO 6000 Blackwell", 1),), model="qwen3.8-27b"
)


async def test_an_endpoint_is_sent_39_requests_that_share_no_prompt(server: Any) -> None:
    target, asked = server
    lines: list[str] = []
    correction = await asyncio.to_thread(endpoint_speed.measure, target, WANTED, lines.append)
    assert not correction.none
    assert len(asked) == 39
    begun = {body["messages"][0]["content"] for body in asked}
    assert len(begun) == 39
    lengths = [sum(len(m["content"]) for m in body["messages"]) for body in asked]
    assert [round(n, -2) for n in lengths[:5]] == [400, 400, 4_000, 16_000, 40_000]
    assert all(body["ignore_eos"] for body in asked)
    assert len({body["max_tokens"] for body in asked[19:]}) > 5
    assert "20 requests at a light load, about" in lines[-1]


async def test_prompts_fit_the_context_that_the_endpoint_advertises(server: Any) -> None:
    target, asked = server
    small = replace(target, max_model_len=2048)
    await asyncio.to_thread(endpoint_speed.measure, small, WANTED, lambda _: None)
    assert len(asked) == 37  # without the two longest prompts
    assert max(len(str(body["messages"])) for body in asked) < 2 * 2048 + 200


async def test_an_endpoint_that_refuses_is_named_as_such(server: Any) -> None:
    target, _ = server
    gone = replace(target, backend=replace(target.backend, url=target.backend.url + "/nowhere"))
    with pytest.raises(StokerError, match="can't be used for calibration") as error:
        await asyncio.to_thread(endpoint_speed.measure, gone, WANTED, lambda _: None)
    assert "status 404" in (error.value.why or "")
