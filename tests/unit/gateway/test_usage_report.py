"""Every API reports its tokens in its own words: prompt and completion are counted from all.

The reports are those of llama.cpp b11549 and vLLM 0.32 as they were seen on the wire, and of other
servers as their documentation shows them.
"""

from __future__ import annotations

from typing import Any

import pytest

from stoker.gateway.usage.usage_report import USAGE_KEYS, UsageReport

REPORTS: dict[str, tuple[int, list[dict[str, Any]], tuple[int, int | None]]] = {
    "llama.cpp: one usage event for each of two choices of a chat": (
        2,
        [
            {"choices": [], "usage": {"prompt_tokens": 31, "completion_tokens": 4}},
            {"choices": [], "usage": {"prompt_tokens": 31, "completion_tokens": 9}},
        ],
        (31, 13),
    ),
    "llama.cpp: the last event of each of two completions": (
        2,
        [
            {"choices": [{"index": 0}], "usage": {"prompt_tokens": 2, "completion_tokens": 3}},
            {"choices": [{"index": 1}], "usage": {"prompt_tokens": 2, "completion_tokens": 5}},
        ],
        (2, 8),
    ),
    "llama.cpp: two completions of each of two prompts": (
        2,
        [
            {"choices": [{"index": i}], "usage": {"prompt_tokens": n, "completion_tokens": 3}}
            for i, n in ((1, 1), (0, 1), (3, 6), (2, 6))
        ],
        (7, 12),
    ),
    "a stream that broke off before the second choice's report": (
        2,
        [{"choices": [{"index": 0}], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}],
        (9, 3),
    ),
    "vLLM: the sum of three choices, after each choice's own count so far": (
        3,
        [
            {"choices": [{"index": 0}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
            {"choices": [{"index": 1}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 12}},
        ],
        (9, 12),
    ),
    "a server that repeats the usage so far on every chunk": (
        1,
        [
            {"choices": [{"index": 0}], "usage": {"prompt_tokens": 9, "completion_tokens": n}}
            for n in (1, 2, 3)
        ],
        (9, 3),
    ),
    "a server that sends the final usage twice": (
        1,
        [{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}] * 2,
        (9, 3),
    ),
    "a whole answer with two choices, summed by the server": (
        2,
        [
            {
                "choices": [{"index": 0, "message": {}}, {"index": 1, "message": {}}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 14},
            }
        ],
        (9, 14),
    ),
    "llama.cpp /v1/messages: cached tokens stand apart, in the first event": (
        1,
        [
            {
                "type": "message_start",
                "message": {
                    "usage": {
                        "cache_read_input_tokens": 30,
                        "input_tokens": 1,
                        "output_tokens": 0,
                    }
                },
            },
            {"type": "message_delta", "usage": {"output_tokens": 4}},
        ],
        (31, 4),
    ),
    "vLLM /v1/messages: the whole prompt first, without the cached ones at the end": (
        1,
        [
            {
                "type": "message_start",
                "message": {"usage": {"input_tokens": 300, "output_tokens": 0}},
            },
            {
                "type": "message_delta",
                "usage": {"input_tokens": 44, "cache_read_input_tokens": 256, "output_tokens": 7},
            },
        ],
        (300, 7),
    ),
    "a proxy's /v1/messages: the prompt is 0 until the end": (
        1,
        [
            {"type": "message_start", "message": {"usage": {"input_tokens": 0}}},
            {"type": "message_delta", "usage": {"input_tokens": 12, "output_tokens": 7}},
        ],
        (12, 7),
    ),
    "Anthropic: what was written to the cache was read too": (
        1,
        [
            {
                "type": "message",
                "usage": {
                    "input_tokens": 5,
                    "cache_creation_input_tokens": 1000,
                    "cache_read_input_tokens": 200,
                    "output_tokens": 6,
                },
            }
        ],
        (1205, 6),
    ),
    "/v1/responses: the cached tokens are among the input": (
        1,
        [
            {"type": "response.created", "response": {"status": "in_progress", "usage": None}},
            {
                "type": "response.completed",
                "response": {
                    "usage": {
                        "input_tokens": 31,
                        "input_tokens_details": {"cached_tokens": 30},
                        "output_tokens": 4,
                        "total_tokens": 35,
                    }
                },
            },
        ],
        (31, 4),
    ),
    "/v1/responses behind a proxy that names cached tokens in both ways": (
        1,
        [
            {
                "object": "response",
                "usage": {
                    "input_tokens": 31,
                    "input_tokens_details": {"cached_tokens": 30},
                    "cache_read_input_tokens": 30,
                    "output_tokens": 4,
                },
            }
        ],
        (31, 4),
    ),
    "llama.cpp /infill": (
        1,
        [
            {"content": "a", "stop": False, "tokens_evaluated": 14, "tokens_predicted": 1},
            {"content": "", "stop": True, "tokens_evaluated": 14, "tokens_predicted": 3},
        ],
        (14, 3),
    ),
    "Groq: in a field of its own on the last chunk": (
        1,
        [{"choices": [], "x_groq": {"usage": {"prompt_tokens": 8, "completion_tokens": 2}}}],
        (8, 2),
    ),
    "embeddings": (1, [{"data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}], (8, None)),
    "a ranking with the total only": (
        1,
        [{"results": [], "usage": {"total_tokens": 17}}],
        (17, None),
    ),
}


@pytest.mark.parametrize(("choices", "events", "counts"), REPORTS.values(), ids=REPORTS)
def test_tokens_are_counted_from(
    choices: int, events: list[dict[str, Any]], counts: tuple[int, int | None]
) -> None:
    report = UsageReport(choices)
    for event in events:
        report.note(event)
    usage = report.usage or {}
    assert (usage.get("prompt_tokens"), usage.get("completion_tokens")) == counts


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"usage": None},
        {"usage": 5},
        {"usage": {"prompt_tokens": "9", "completion_tokens": -1}},
        {"usage": {"prompt_tokens": True}},
        {"usage": {"prompt_tokens": 2**63, "completion_tokens": 10**10}},
        {"message": "hello", "response": [], "x_groq": None},
    ],
)
def test_what_is_no_report_counts_nothing(value: dict[str, Any]) -> None:
    report = UsageReport()
    report.note(value)
    assert report.usage is None


def test_a_text_about_usage_is_not_searched_for_it() -> None:
    text = rb'{"delta": "the field \"prompt_tokens\" or \"tokens_predicted\""}'
    assert not any(key in text for key in USAGE_KEYS)


CACHED: dict[str, tuple[dict[str, Any], int | None]] = {
    "llama.cpp and vLLM: a chat's usage": (
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 8}}},
        8,
    ),
    "llama.cpp: its timings": (
        {"tokens_evaluated": 9, "timings": {"cache_n": 8, "prompt_n": 1}},
        8,
    ),
    "Responses": ({"usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 8}}}, 8),
    "Messages": ({"usage": {"input_tokens": 1, "cache_read_input_tokens": 8}}, 8),
    "vLLM without its option": (
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": None}},
        None,
    ),
    "no number": (
        {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": "8"}}},
        None,
    ),
}


@pytest.mark.parametrize(("answer", "cached_tokens"), CACHED.values(), ids=CACHED)
def test_tokens_from_the_cache_are_read_from(
    answer: dict[str, Any], cached_tokens: int | None
) -> None:
    report = UsageReport()
    report.note(answer)
    assert report.cached_tokens == cached_tokens
