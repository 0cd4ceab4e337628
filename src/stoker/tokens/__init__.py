"""Count tokens and make a request fit its budget. Pure: values in, values out."""

from stoker.tokens.chat_messages import call_ids
from stoker.tokens.counting.chat_template import ChatTemplate
from stoker.tokens.counting.count_corrections import Corrections, Reconciled
from stoker.tokens.counting.local_tokenizer import LocalTokenizer
from stoker.tokens.counting.plain_form import OUTSIDE_THE_PROMPT, is_plain
from stoker.tokens.counting.prompt_growth import growth_bound
from stoker.tokens.counting.token_counting import (
    CountQuery,
    CountRequest,
    Counts,
    CountStrings,
    Finished,
    PieceCache,
    Steps,
    advance,
    answer_of,
    drive,
    estimate_strings,
)
from stoker.tokens.counting.token_upper_bound import Overheads, overheads_of, prompt_bound
from stoker.tokens.token_errors import ContextLengthExceededError, TokenizerError, ToolTooDeepError
from stoker.tokens.truncation.calibration import Calibration, calibrate, calibrate_calls
from stoker.tokens.truncation.context_budget import (
    Budget,
    ReadingTime,
    asked_max_tokens,
    budget_for,
    clamp_max_tokens,
    prompt_tokens_for_time,
)
from stoker.tokens.truncation.fit_result import Cuts, Fit
from stoker.tokens.truncation.prompt_truncation import fit

__all__ = [
    "OUTSIDE_THE_PROMPT",
    "Budget",
    "Calibration",
    "ChatTemplate",
    "ContextLengthExceededError",
    "Corrections",
    "CountQuery",
    "CountRequest",
    "CountStrings",
    "Counts",
    "Cuts",
    "Finished",
    "Fit",
    "LocalTokenizer",
    "Overheads",
    "PieceCache",
    "ReadingTime",
    "Reconciled",
    "Steps",
    "TokenizerError",
    "ToolTooDeepError",
    "advance",
    "answer_of",
    "asked_max_tokens",
    "budget_for",
    "calibrate",
    "calibrate_calls",
    "call_ids",
    "clamp_max_tokens",
    "drive",
    "estimate_strings",
    "fit",
    "growth_bound",
    "is_plain",
    "overheads_of",
    "prompt_bound",
    "prompt_tokens_for_time",
]
