"""What a running server has counted of its speculative decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.engines import http_json
from stoker.engines.base import Backend
from stoker.engines.metric_values import metric_values
from stoker.engines.registry import lookup
from stoker.planning.draft_use import DraftCounts

if TYPE_CHECKING:
    import aiohttp

#: vLLM 0.32 (vllm/v1/spec_decode/metrics.py) and llama.cpp b11549 have the same counters, each with
#: a prefix of its own.
_COUNTERS = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")


async def draft_counts(http: aiohttp.ClientSession, backend: Backend) -> DraftCounts | None:
    """The counts since its start; ``None`` where it reports none.

    Not to be asked of a busy server where ``Drafting.asked_while_busy`` is false. Raises
    ``aiohttp.ClientError``, and ``ValueError`` for a count that is no number.
    """
    drafting = lookup(backend.engine).drafting
    if drafting is None:
        return None
    answer = await http_json.ask(http, backend, "/metrics")
    return counts_in(answer.body, drafting.metrics_prefix) if answer.status == 200 else None


def counts_in(metrics: bytes, prefix: str) -> DraftCounts | None:
    """The counts of all copies of an engine. Raises ``ValueError`` for one that is no number."""
    names = (f"{prefix}spec_decode_{name}_total" for name in _COUNTERS)
    found = [metric_values(metrics, [name]) for name in names]
    if not all(found):
        return None
    return DraftCounts(*(int(sum(copies)) for copies in found))
