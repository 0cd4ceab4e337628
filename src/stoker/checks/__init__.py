"""Prove with real requests that an endpoint works."""

from stoker.checks.check import Check, CheckReport, Result, Status, Use, Verdict
from stoker.checks.runner import choose_model, chosen, look_at, run, unreached
from stoker.checks.smoke_test import SmokeTest, ask
from stoker.checks.suite import CHECKS
from stoker.checks.target import Endpoint

__all__ = [
    "CHECKS",
    "Check",
    "CheckReport",
    "Endpoint",
    "Result",
    "SmokeTest",
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
