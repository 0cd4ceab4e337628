"""How far an endpoint's speed is from its plan's, measured with a few requests: ``--calibrate``."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from stoker.application.calibration_rounds import RoundSizes, Size, measure_rounds
from stoker.application.capacity_options import find_options
from stoker.application.capacity_request import CapacityRequest
from stoker.checks.bench.concurrency_sweep import BenchTarget
from stoker.checks.bench.load_generator import Halt, LoadClient, open_loop, session
from stoker.checks.bench.request_timing import Timing
from stoker.checks.bench.workloads import Wording, request
from stoker.errors import StokerError, UsageError
from stoker.sizing import (
    ArrivingRequest,
    LogNormal,
    MeasuredAnswer,
    MeasuredRound,
    Replica,
    StepTimes,
    calibrate,
)
from stoker.sizing.correction import Correction
from stoker.sizing.search import Option

#: Prompts in characters: short twice, as the first warms the server up, then middle and long.
_ALONE_CHARS, _TOGETHER_CHARS, _ANSWER_TOKENS = (400, 400, 4_000, 16_000, 40_000), 2_000, 32
_LIGHT_PROMPT, _LIGHT_ANSWER = LogNormal(2_000, 0.7, 400, 16_000), LogNormal(32, 0.6, 4, 120)
#: Characters of a token of code at least, so that a prompt fits the endpoint's context.
_TOKEN_CHARS = 2
#: A server that has not answered by then has failed.
_MOST_S = 300.0
#: What the factors compare: a prompt as long as the longest that is sent, and a step of this many
#: answers over this many tokens each.
_PROMPT_TOKENS, _BATCH, _CONTEXT_TOKENS = 10_000, 8, 4_000


def measure(target: BenchTarget, wanted: CapacityRequest, say: Callable[[str], None]) -> Correction:
    """The factors by which the endpoint is slower than planned.

    The request names its hardware and model: one GPU with its number, and the model. Sends at most
    39 requests (``measure_rounds``), the first to warm it up. ``say`` gets lines of progress.
    Raises ``UsageError`` where the request does not name them, and ``StokerError`` where the
    endpoint does not answer.
    """
    option = _served(wanted)
    rounds = asyncio.run(_rounds(target, option.replica, say))
    measured = calibrate(rounds, option.replica)
    return ratio(measured, option.replica.step_times)


def check(wanted: CapacityRequest) -> None:
    """Raise ``UsageError`` where a request does not name what runs at the endpoint."""
    if len(wanted.gpus) != 1 or wanted.gpus[0].count is None or wanted.model is None:
        raise UsageError(
            "--calibrate needs to know what runs at the endpoint.",
            "What it measures is compared with the plan for that GPU and model.",
            'Name both: --gpu "H100:2" --model qwen3.8-27b, with as many GPUs as one copy uses.',
        )


def _served(wanted: CapacityRequest) -> Option:
    """What runs at the endpoint: one copy on all GPUs of the server that was named."""
    check(wanted)
    found = find_options(wanted)
    whole = [one for one in found.options if one.plan.gpus == one.server.gpus]
    if not whole:
        raise found.problem or StokerError(
            f"{wanted.model} can't be planned on {wanted.gpus[0].count} x {wanted.gpus[0].name}.",
            fix="Name what really runs there.",
        )
    return whole[0]


def _sizes(max_model_len: int | None) -> RoundSizes:
    """What is sent to an endpoint of this context, if it advertises one."""
    most = max(_ALONE_CHARS) if max_model_len is None else _TOKEN_CHARS * max_model_len
    return RoundSizes(
        alone=[(chars, _ANSWER_TOKENS) for chars in _ALONE_CHARS if chars <= most],
        together=(_TOGETHER_CHARS, _ANSWER_TOKENS),
        light=(replace(_LIGHT_PROMPT, most=min(most, _LIGHT_PROMPT.most)), _LIGHT_ANSWER),
    )


async def _rounds(
    target: BenchTarget, planned: Replica, say: Callable[[str], None]
) -> list[MeasuredRound]:
    """What the endpoint answered."""
    salt, sent = secrets.token_hex(4), 0
    async with session() as http:
        client, halt = LoadClient(http, target.backend), Halt(_MOST_S)

        async def send(sizes: Sequence[Size], due_s: Sequence[float]) -> list[MeasuredAnswer]:
            nonlocal sent
            requests = [
                request(Wording("chat", target.model, chars, tokens), f"{salt}-{sent + i}", i)
                for i, (chars, tokens) in enumerate(sizes)
            ]
            timings = await open_loop(client.send, requests, due_s, halt)
            answers = [_answer(sent + i, timing) for i, timing in enumerate(timings)]
            sent += len(sizes)
            return answers

        return await measure_rounds(send, _sizes(target.max_model_len), planned, say)


def _answer(number: int, timing: Timing) -> MeasuredAnswer:
    """One request with the lengths that the server counted. Raises ``StokerError``."""
    if timing.failure is not None or not timing.prompt_tokens or not timing.answer_tokens:
        why = timing.failure or "the server does not report how many tokens a prompt has"
        raise StokerError(
            "The endpoint can't be used for calibration.",
            f"A request failed: {why}.",
            "Check it first: stoker test URL",
        )
    sent = ArrivingRequest(timing.arrival_s, number, timing.prompt_tokens, timing.answer_tokens)
    return MeasuredAnswer(sent, timing.first_token_s, timing.token_s)


def ratio(measured: StepTimes, planned: StepTimes) -> Correction:
    """How much longer a request takes to be scheduled than planned, a long prompt to be read, and
    a step of a middle batch."""
    decode = _token_s(measured) / _token_s(planned)
    if planned.arrival_s:
        arrival = measured.arrival_s / planned.arrival_s
        return Correction(_prompt_s(measured) / _prompt_s(planned), decode, arrival)
    # Nothing planned can be multiplied, so the prompt's own factor carries it.
    prompt_s = measured.arrival_s + _prompt_s(measured)
    return Correction(prompt_s / _prompt_s(planned), decode)


def _prompt_s(times: StepTimes) -> float:
    tokens = _PROMPT_TOKENS
    return times.batch_s(0, tokens) + times.attention_s * tokens**2 / 2


def _token_s(times: StepTimes) -> float:
    return times.batch_s(_BATCH, 0) + _BATCH * _CONTEXT_TOKENS * times.cache_token_s
