"""Which requests calibration sends, and when: alone, at once, and at a light load."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from stoker.sizing import (
    ArrivingRequest,
    LogNormal,
    MeasuredAnswer,
    MeasuredRound,
    Replica,
    calibrate,
)
from stoker.sizing.step_calibration import replay_rounds

#: The size of a prompt, in a unit of the sender's own, and the tokens of its answer.
Size = tuple[int, int]
#: Sends requests of these sizes, each when it is due, and returns the answers in their order.
Send = Callable[[Sequence[Size], Sequence[float]], Awaitable[list[MeasuredAnswer]]]

TOGETHER = (2, 4, 8)
#: The light load, as a share of what the server sustains, and its requests. Those alone and in
#: bursts don't show what a step takes while HTTP and the client need the cores as well: in three
#: recordings of vLLM on a CPU, 36 of 36 figures are within 20 % with these, 26 without; in a
#: fourth, which was made after that was known, 11 of 12 and 9.
LIGHT, LIGHT_REQUESTS = 0.3, 20
#: Fewer of them don't add up to a load.
_LEAST_LIGHT = 5
#: After so many seconds no request is sent that can be left out.
MOST_S = 90.0


@dataclass(frozen=True, slots=True)
class RoundSizes:
    """What is sent: sizes of prompts in the sender's own unit, of answers in tokens."""

    #: One after the other. The first warms the server up and does not count.
    alone: Sequence[Size]
    together: Size
    #: Lengths of prompts and answers of the light load.
    light: tuple[LogNormal, LogNormal]


async def measure_rounds(
    send: Send,
    sizes: RoundSizes,
    planned: Replica,
    say: Callable[[str], None],
    now_s: Callable[[], float] = time.monotonic,
) -> list[MeasuredRound]:
    """Rounds to ``calibrate`` with; the last is the light load.

    What would take longer than ``MOST_S`` in all is left out: long prompts, then requests of the
    light load, whose round may be empty. ``say`` gets a line of progress before each part.
    """
    end_s = now_s() + MOST_S
    sent: list[Sequence[Size]] = []
    rounds: list[MeasuredRound] = []
    bursts = [[sizes.together] * count for count in TOGETHER]
    say(
        f"Calibrating: {len(sizes.alone) + sum(TOGETHER)} requests alone and up to {TOGETHER[-1]} "
        f"at once, then {LIGHT_REQUESTS} at a light load, in about {MOST_S:.0f} s at most."
    )
    for asked in (*([size] for size in sizes.alone), *bursts):
        if len(sent) > 1 and now_s() + _expected_s(asked, sent[-1], rounds[-1]) > end_s:
            continue
        rounds.append(await send(asked, [0.0] * len(asked)))
        sent.append(asked)
    light = LightLoad.after(sent[1:], rounds[1:], sizes, planned)
    due_s = light.due_s(end_s - now_s())
    if not due_s:
        say("Calibrating: this server is too slow for requests at a light load.")
        return [*rounds[1:], []]
    say(f"Calibrating: {len(due_s)} requests at a light load, about {due_s[-1]:.0f} s.")
    return [*rounds[1:], await send(light.sizes[: len(due_s)], due_s)]


def _expected_s(asked: Sequence[Size], before: Sequence[Size], answers: MeasuredRound) -> float:
    """How long a round takes: reading grows with the prompts, writing with the answers."""
    longer = sum(prompt for prompt, _ in asked) / sum(prompt for prompt, _ in before)
    reading_s = max(answer.first_token_s for answer in answers)
    token_s = max(answer.token_s or 0.0 for answer in answers)
    return longer * reading_s + token_s * max(tokens for _, tokens in asked)


@dataclass(frozen=True, slots=True)
class LightLoad:
    """Requests at a rate of ``LIGHT`` of what the server sustains."""

    sizes: Sequence[Size]
    per_s: float

    @classmethod
    def after(
        cls,
        sent: Sequence[Sequence[Size]],
        rounds: Sequence[MeasuredRound],
        sizes: RoundSizes,
        planned: Replica,
    ) -> LightLoad:
        """The one of the capacity that ``planned`` has with the step times of these rounds."""
        rng = random.Random(7)  # noqa: S311  (lengths, not secrets)
        prompt, answer = sizes.light
        drawn = [(prompt.draw_count(rng), answer.draw_count(rng)) for _ in range(LIGHT_REQUESTS)]
        read = sum(answer.request.prompt_tokens for answers in rounds for answer in answers)
        tokens = read / sum(size for asked in sent for size, _ in asked)
        fitted = replace(planned, step_times=calibrate(rounds, planned))
        per_s = capacity_per_s(fitted, prompt.scaled(tokens), answer)
        return cls(drawn, LIGHT * per_s)

    def due_s(self, left_s: float) -> list[float]:
        """When they come, at random; as many as ``left_s`` has time for, or none."""
        count = min(LIGHT_REQUESTS, int(left_s * self.per_s))
        if count < _LEAST_LIGHT:
            return []
        rng = random.Random(7)  # noqa: S311  (arrivals, not secrets)
        return sorted(rng.uniform(0, count / self.per_s) for _ in range(count))


def capacity_per_s(replica: Replica, prompt: LogNormal, answer: LogNormal) -> float:
    """Requests of such lengths a second that ``replica`` sustains: where 400 wait at once."""
    rng, count = random.Random(1), 400  # noqa: S311  (lengths, not secrets)
    answers = [
        MeasuredAnswer(ArrivingRequest(0.0, n, prompt.draw_count(rng), answer.draw_count(rng)), 1.0)
        for n in range(count)
    ]
    return count / max(first_s for first_s, _ in replay_rounds([answers], replica))
