"""Steps that an engine makes one after the other with nothing joining or leaving their batch."""

from __future__ import annotations

import math
from collections.abc import Iterable

from stoker.sizing.decoders import Decoders
from stoker.sizing.in_flight import InFlight
from stoker.sizing.step_times import StepTimes


class StepSpan:
    """``steps`` steps: the first takes ``first_s``, each further one ``growth_s`` longer.

    A step reads the cache of all tokens so far, so its time grows by the same amount each time.
    That makes the end of any of them a formula, and no step needs an event of its own.
    """

    __slots__ = ("began_s", "first_s", "growth_s", "steps")

    def __init__(self, began_s: float, first_s: float, growth_s: float, steps: int) -> None:
        self.began_s = began_s
        self.first_s = first_s
        self.growth_s = growth_s
        self.steps = steps

    def end_s(self) -> float:
        """When the last step ends."""
        return self._ends_s(self.steps)

    def is_last_at(self, at_s: float) -> bool:
        """Whether the step that is under way at ``at_s`` is the last."""
        return self._steps_until(at_s) >= self.steps

    def cut_at(self, at_s: float) -> bool:
        """End with the step that is under way at ``at_s``. Returns whether that is any sooner."""
        steps = self._steps_until(at_s)
        if steps >= self.steps:
            return False
        self.steps = steps
        return True

    def _ends_s(self, steps: int) -> float:
        return self.began_s + steps * (self.first_s + self.growth_s * (steps - 1) / 2)

    def _steps_until(self, at_s: float) -> int:
        """The fewest steps, at least one, that end at ``at_s`` or later."""
        lasted, half = at_s - self.began_s, self.growth_s / 2
        linear = self.first_s - half
        if half > 0:
            root = math.sqrt(linear * linear + 4 * half * max(0.0, lasted))
            steps = max(1, math.ceil((root - linear) / (2 * half)))
        else:
            steps = max(1, math.ceil(lasted / linear)) if linear > 0 else 1
        # The root is rounded: one step up or down makes it exact.
        while self._ends_s(steps) < at_s and steps < self.steps:
            steps += 1
        while steps > 1 and self._ends_s(steps - 1) >= at_s:
            steps -= 1
        return steps


def span_of(
    times: StepTimes,
    decoders: Decoders,
    prompts: Iterable[InFlight],
    began_s: float,
    steps: int,
    more_s: float = 0.0,
) -> StepSpan:
    """``steps`` steps in which ``decoders`` write and the chunks of ``prompts`` are processed.

    More than one step needs the same chunk in each: at most one prompt. ``more_s`` is what the
    first step takes besides.
    """
    chunk, scores = 0, 0.0
    for one in prompts:
        chunk += one.chunk
        scores += one.chunk * (one.computed + one.chunk / 2)
    first_s = (
        more_s
        + times.batch_s(decoders.count, chunk)
        + times.cache_token_s * decoders.tokens
        + times.attention_s * scores
    )
    growth_s = times.cache_token_s * decoders.count + times.attention_s * chunk * chunk
    return StepSpan(began_s, first_s, growth_s, steps)
