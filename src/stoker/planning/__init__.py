"""Pure functions from (host, model) to a plan. Nothing here reads a file or opens a socket."""

from stoker.planning.ollama_plan import commands as ollama_commands
from stoker.planning.quantization import weights_bytes
from stoker.planning.ranking import candidates_of, engine_for, is_better, rank
from stoker.planning.requirements import Candidate, Requirements
from stoker.planning.serving_plan import Argument, Interval, MemoryPrediction, Plan, Speed
from stoker.planning.speed import Traffic, speed_under

__all__ = [
    "Argument",
    "Candidate",
    "Interval",
    "MemoryPrediction",
    "Plan",
    "Requirements",
    "Speed",
    "Traffic",
    "candidates_of",
    "engine_for",
    "is_better",
    "ollama_commands",
    "rank",
    "speed_under",
    "weights_bytes",
]
