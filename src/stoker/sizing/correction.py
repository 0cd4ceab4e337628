"""How far step times are off: by the planner's error, or as a real server measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stoker.planning import Speed
from stoker.sizing.fleet import Replica
from stoker.sizing.step_times import StepTimes


@dataclass(frozen=True, slots=True)
class Correction:
    """Factors on predicted times: above 1 is slower than predicted."""

    #: On what reading prompts takes.
    prefill: float = 1.0
    #: On what a step takes to write one token of each answer.
    decode: float = 1.0
    #: On what a request takes before its prompt can be scheduled.
    arrival: float = 1.0

    def __post_init__(self) -> None:
        if not all(0 < factor < 1000 for factor in (self.prefill, self.decode, self.arrival)):
            raise ValueError(f"not factors on a time: {self}")

    def times(self, other: Correction) -> Correction:
        """Both corrections, one on top of the other."""
        return Correction(
            self.prefill * other.prefill,
            self.decode * other.decode,
            self.arrival * other.arrival,
        )

    @property
    def none(self) -> bool:
        """Whether it changes nothing."""
        return self == Correction()


def slow_end(speed: Speed | None) -> Correction:
    """The slow end of the planner's range: of five measured servers about four are quicker."""
    return Correction() if speed is None else _end(speed, "high")


def fast_end(speed: Speed | None) -> Correction:
    """The fast end of that range."""
    return Correction() if speed is None else _end(speed, "low")


def _end(speed: Speed, end: str) -> Correction:
    first, token = speed.first_token_s, speed.token_s
    to_first = getattr(first, end) / first.expected
    return Correction(to_first, getattr(token, end) / token.expected, to_first)


def corrected(replica: Replica, correction: Correction) -> Replica:
    """The same replica with its times corrected."""
    return replace(replica, step_times=_corrected(replica.step_times, correction))


def _corrected(times: StepTimes, by: Correction) -> StepTimes:
    return replace(
        times,
        step_s=times.step_s * by.decode,
        read_s=times.read_s * by.decode,
        sequence_s=times.sequence_s * by.decode,
        experts_s=times.experts_s * by.decode,
        cache_token_s=times.cache_token_s * by.decode,
        token_s=times.token_s * by.prefill,
        attention_s=times.attention_s * by.prefill,
        prompt_s=times.prompt_s * by.prefill,
        launches_s=times.launches_s * by.prefill,
        arrival_s=times.arrival_s * by.arrival,
    )
