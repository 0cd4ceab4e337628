"""Count tokens and make a request fit its budget. Pure: values in, values out."""

from stoker.tokens.bound import Overheads, overheads_of, prompt_bound
from stoker.tokens.budget import (
    Budget,
    asked_max_tokens,
    budget_for,
    clamp_max_tokens,
    prompt_tokens_for_time,
)
from stoker.tokens.count import (
    Ask,
    Correction,
    CountRequest,
    Counts,
    CountStrings,
    PieceCache,
    Reconciled,
    Steps,
    drive,
    drive_async,
    estimate_strings,
)
from stoker.tokens.errors import ContextLengthExceededError, TokenizerError, ToolTooDeepError
from stoker.tokens.fit import Calibration, Cuts, Fit, calibrate, fit
from stoker.tokens.local import LocalTokenizer
from stoker.tokens.template import ChatTemplate

__all__ = [
    "Ask",
    "Budget",
    "Calibration",
    "ChatTemplate",
    "ContextLengthExceededError",
    "Correction",
    "CountRequest",
    "CountStrings",
    "Counts",
    "Cuts",
    "Fit",
    "LocalTokenizer",
    "Overheads",
    "PieceCache",
    "Reconciled",
    "Steps",
    "TokenizerError",
    "ToolTooDeepError",
    "asked_max_tokens",
    "budget_for",
    "calibrate",
    "clamp_max_tokens",
    "drive",
    "drive_async",
    "estimate_strings",
    "fit",
    "overheads_of",
    "prompt_bound",
    "prompt_tokens_for_time",
]
