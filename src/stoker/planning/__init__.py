"""What engines share in planning, pure: what is wanted, what a plan is, what weights take.

Nothing here reads a file or opens a socket. Each engine's own planner is in its folder of
``stoker.engines``, and ``stoker.application.ranking`` compares their plans.
"""

from stoker.planning.quantization import weights_bytes
from stoker.planning.requirements import Candidate, Requirements, candidates_of
from stoker.planning.serving_plan import (
    Argument,
    Interval,
    MemoryPrediction,
    Plan,
    Speed,
    Traffic,
    Trial,
)

__all__ = [
    "Argument",
    "Candidate",
    "Interval",
    "MemoryPrediction",
    "Plan",
    "Requirements",
    "Speed",
    "Traffic",
    "Trial",
    "candidates_of",
    "weights_bytes",
]
