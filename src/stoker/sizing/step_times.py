"""How long one step of an engine takes, as a function of what is in its batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stoker.planning.step_arithmetic import slower, touched_share


@dataclass(frozen=True, slots=True)
class StepTimes:
    """The time of a step: a sum of what its batch reads, computes and costs besides.

    With ``B`` sequences that decode over ``S`` tokens of cache, and ``m`` prompt tokens that follow
    ``c`` tokens before them::

        step_s     + sequence_s B + hypot(read_s + experts_s touched(B'),  token_s (B + m))
        + cache_token_s S + attention_s m (c + m / 2)

    where ``B'`` is ``B + m``, which touches so many of the experts (``touched_share``). With a
    prompt, ``prompt_s`` comes on top, and the first line is at least ``launches_s``. It is that of
    ``engines.vllm.vllm_speed``, which is fitted to measured servers: reading the weights hides
    behind arithmetic, and the larger of them counts.
    """

    #: Each step's own cost, however small: launches, scheduling, sampling.
    step_s: float
    #: Reading the weights that every token passes, once a step.
    read_s: float
    #: The arithmetic of one token.
    token_s: float
    sequence_s: float = 0.0
    #: Reading all routed experts, and the part of them that one token uses.
    experts_s: float = 0.0
    expert_share: float = 0.0
    #: How evenly tokens choose experts (``touched_share``).
    expert_spread: float = 2.0
    #: Reading the cache of one earlier token.
    cache_token_s: float = 0.0
    #: Attention of one prompt token to one token before it.
    attention_s: float = 0.0
    #: What a step with a prompt costs on top.
    prompt_s: float = 0.0
    #: What the CPU takes for launching such a step, while the GPU works: the slower of the two
    #: counts.
    launches_s: float = 0.0
    #: What a request pays before its prompt is scheduled: HTTP and template.
    arrival_s: float = 0.0
    #: The same for each token of its prompt, cached or not: a server splits the whole text into
    #: tokens, hashes them by blocks, and lets its detokenizer begin with them.
    arrival_token_s: float = 0.0

    def __post_init__(self) -> None:
        values = (getattr(self, name) for name in self.__slots__)
        if not all(math.isfinite(v) and v >= 0 for v in values):
            raise ValueError(f"a step time is negative or not finite: {self}")

    @classmethod
    def of_rates(
        cls, *, prefill_tokens_per_s: float, decode_tokens_per_s: float, further_s: float = 0.0
    ) -> StepTimes:
        """From the rates of one request that runs alone, as a plan predicts them.

        ``further_s`` is what a token takes longer for each further request at the same time.
        """
        token_s = 1 / prefill_tokens_per_s
        return cls(
            step_s=0.0,
            read_s=math.sqrt(max(0.0, decode_tokens_per_s**-2 - token_s**2)),
            token_s=token_s,
            sequence_s=further_s,
        )

    def before_queue_s(self, prompt_tokens: int) -> float:
        """How long after it came a request with such a prompt can be scheduled."""
        return self.arrival_s + self.arrival_token_s * prompt_tokens

    def batch_s(self, decoding: int, prompt_tokens: int) -> float:
        """The part of a step's time that does not depend on what was read before."""
        tokens = decoding + prompt_tokens
        read_s = self.read_s
        if self.experts_s:
            share = touched_share(self.expert_share, tokens, self.expert_spread)
            read_s += self.experts_s * share
        step_s = self.step_s + self.sequence_s * decoding
        step_s += math.hypot(read_s, self.token_s * tokens)
        return slower(step_s + self.prompt_s, self.launches_s) if prompt_tokens else step_s
