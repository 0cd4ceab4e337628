"""What Stoker does for the user, apart from how it is asked and shown: choose what to start."""

from stoker.application.choice import BlockedPlan, Choice, choose, download_bytes
from stoker.application.completion_choice import CompletionChoice, CompletionCost
from stoker.application.launch_request import (
    HostFacts,
    LaunchRequest,
    described_machine,
    imagined_machine,
    this_machine,
)
from stoker.application.offers import Offer, candidates
from stoker.application.ranking import rank

__all__ = [
    "BlockedPlan",
    "Choice",
    "CompletionChoice",
    "CompletionCost",
    "HostFacts",
    "LaunchRequest",
    "Offer",
    "candidates",
    "choose",
    "described_machine",
    "download_bytes",
    "imagined_machine",
    "rank",
    "this_machine",
]
