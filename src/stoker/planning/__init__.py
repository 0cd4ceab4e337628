"""Pure functions from (host, model) to a plan. Nothing here reads a file or opens a socket."""

from stoker.planning.choose import choose
from stoker.planning.fits import Fit, best_fit, fit_of
from stoker.planning.types import Argument, MemoryPrediction, Plan

__all__ = ["Argument", "Fit", "MemoryPrediction", "Plan", "best_fit", "choose", "fit_of"]
