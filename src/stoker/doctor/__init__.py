"""Look at the whole chain, from the GPU's driver to VS Code's chat, and say what is broken."""

from stoker.doctor.diagnosis import diagnose, is_whole
from stoker.doctor.finding import Finding, Kind, Link, State, kinds, links
from stoker.doctor.fixes import fixable, mend, question
from stoker.doctor.probes import gather
from stoker.doctor.readings import Readings
from stoker.doctor.report import report

__all__ = [
    "Finding",
    "Kind",
    "Link",
    "Readings",
    "State",
    "diagnose",
    "fixable",
    "gather",
    "is_whole",
    "kinds",
    "links",
    "mend",
    "question",
    "report",
]
