"""Prove that an endpoint works, by asking it for real."""

from stoker.checks.endpoint import Endpoint
from stoker.checks.first_chat import Answer, ask
from stoker.checks.runner import choose_model, chosen, look_at, run, unreached
from stoker.checks.suite import CHECKS
from stoker.checks.types import Check, Report, Result, Status, Use, Verdict

__all__ = [
    "CHECKS",
    "Answer",
    "Check",
    "Endpoint",
    "Report",
    "Result",
    "Status",
    "Use",
    "Verdict",
    "ask",
    "choose_model",
    "chosen",
    "look_at",
    "run",
    "unreached",
]
