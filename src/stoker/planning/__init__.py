"""Pure functions from (host, model) to a plan. Nothing here reads a file or opens a socket."""

from stoker.planning.choose import candidates_of, choose, rank
from stoker.planning.fits import Fit, best_fit, fit_of
from stoker.planning.ollama_plan import commands as ollama_commands
from stoker.planning.speed import Traffic, speed_under
from stoker.planning.types import Argument, Interval, MemoryPrediction, Plan, Speed
from stoker.planning.wishes import Candidate, Wishes

__all__ = [
    "Argument",
    "Candidate",
    "Fit",
    "Interval",
    "MemoryPrediction",
    "Plan",
    "Speed",
    "Traffic",
    "Wishes",
    "best_fit",
    "candidates_of",
    "choose",
    "fit_of",
    "ollama_commands",
    "rank",
    "speed_under",
]
