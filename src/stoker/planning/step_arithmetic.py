"""What the plan of a server and its simulation share about the time of a step. Pure."""

import math


def touched_share(expert_share: float, tokens: float, spread: float) -> float:
    """The part of the experts that ``tokens`` are routed to, each to ``expert_share`` of them.

    How often an expert is chosen follows a beta distribution with the mean ``expert_share`` and the
    shape ``spread``: experts that are rarely chosen are read in few steps.
    """
    if not 0 < expert_share < 1:
        return float(expert_share > 0)
    other = spread * (1 - expert_share) / expert_share
    missed = math.lgamma(other + tokens) + math.lgamma(spread + other)
    missed -= math.lgamma(other) + math.lgamma(spread + other + tokens)
    return 1 - math.exp(missed)


def slower(one: float, other: float) -> float:
    """Of two things at the same time the one that takes longer, rounded where they are alike."""
    return float((one**4 + other**4) ** 0.25)
