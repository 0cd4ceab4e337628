"""Rows of usage for tests."""

from __future__ import annotations

from typing import Any

from stoker.usage_records import UsageRow

USUAL = UsageRow(
    arrived_ms=1_700_000_000_000,
    owner="ann",
    key_id="ann-1",
    model="coder",
    path="/v1/chat/completions",
    status=200,
    prompt_tokens=100,
    completion_tokens=20,
    cached_tokens=80,
    reasoning_tokens=5,
    estimated=0,
    first_byte_s=0.5,
    total_s=2.0,
    queue_s=0.25,
    cut_tokens=0,
    cut_tools=0,
    cut_steps="",
    session=None,
)


def row(**changes: Any) -> UsageRow:
    """A request as most are, with what a test is about."""
    return USUAL._replace(**changes)
