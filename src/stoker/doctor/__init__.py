"""Checks the whole chain, from the GPU's driver to VS Code's chat, and names what is broken."""

from stoker.doctor.finding import Finding, Kind, Link, State, kinds, links
from stoker.doctor.fixes import apply_fix, fixable, question
from stoker.doctor.issue_report import report
from stoker.doctor.probes import gather
from stoker.doctor.run_checks import diagnose, is_whole
from stoker.doctor.snapshot import Readings

__all__ = [
    "Finding",
    "Kind",
    "Link",
    "Readings",
    "State",
    "apply_fix",
    "diagnose",
    "fixable",
    "gather",
    "is_whole",
    "kinds",
    "links",
    "question",
    "report",
]
