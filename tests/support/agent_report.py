"""Measures an agent's conversation at the engine: budget used, content kept, prefix shared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from tests.support.scripted_model import play, rendered, tokenizer

from stoker.tokens import budget_for

Body = dict[str, Any]
#: Each harness's names for: read, list, find files, search text, create, edit, errors, terminal.
LOCAL_CORE = (
    *("read_file", "list_dir", "file_search", "grep_search"),
    *("create_file", "replace_string_in_file", "get_errors", "run_in_terminal"),
)
COPILOT_CORE = ("view", "glob", "grep", "create", "edit", "bash")
#: The share of the prompt budget to use wherever the editor offered at least that much.
GOAL_SHARE = 0.90
#: The share of a prompt to have in common with the beginning of the one before, on average.
GOAL_PREFIX = 0.85


@dataclass(frozen=True)
class Row:
    """One agent request: what the editor sent, and what of it reached the engine."""

    offered_tokens: int
    prompt_tokens: int
    #: The part of the context window that is left for the prompt.
    budget_tokens: int
    missing_tools: tuple[str, ...]
    #: Why a competent model could not continue with what was left; empty if it could.
    missed: str
    #: The share of the prompt's tokens that it has in common with the one before, from the start.
    shared: float | None

    @property
    def used(self) -> float:
        """The share of the budget that is used."""
        return self.prompt_tokens / self.budget_tokens

    @property
    def is_full(self) -> bool:
        """Whether it uses the budget up to the goal, or all that the editor sent."""
        wanted = min(self.offered_tokens, GOAL_SHARE * self.budget_tokens)
        return self.prompt_tokens >= wanted


def rows(
    offered: Sequence[Body], arrived: Sequence[Body], window_tokens: int, core: Sequence[str]
) -> list[Row]:
    """Compare the agent requests that were offered with those that arrived, one by one."""
    budget = budget_for(window_tokens).prompt_tokens
    before: list[int] | None = None
    found = []
    for wide, narrow in zip(offered, arrived, strict=True):
        ids = _ids(narrow)
        had, has = _tools(wide), _tools(narrow)
        missing = tuple(name for name in core if name in had and name not in has)
        shared = None if before is None else _common(before, ids) / len(ids)
        missed = play(narrow).missed
        found.append(Row(len(_ids(wide)), len(ids), budget, missing, missed, shared))
        before = ids
    return found


def mean_shared(report: Sequence[Row]) -> float:
    """The mean over all requests but the first."""
    return mean(row.shared for row in report if row.shared is not None)


def lines(report: Sequence[Row]) -> Iterator[str]:
    """The report as a table, totals last."""
    yield f"{'offered':>8} {'prompt':>7} {'used':>5} {'shared':>6}  missing"
    for row in report:
        shared = "" if row.shared is None else f"{row.shared:.2f}"
        used = f"{row.used:.2f}" + ("" if row.is_full else "!")
        missing = ", ".join([*row.missing_tools, *filter(None, [row.missed])])
        yield f"{row.offered_tokens:>8} {row.prompt_tokens:>7} {used:>5} {shared:>6}  {missing}"
    missed = sum(bool(row.missing_tools) for row in report)
    unfilled = sum(not row.is_full for row in report)
    yield (
        f"{len(report)} requests: {mean_shared(report):.3f} of a prompt shared on average, "
        f"{missed} without a core tool, {unfilled} that leave room unused, "
        f"{sum(bool(row.missed) for row in report)} that a model cannot go on from"
    )


def _ids(body: Body) -> list[int]:
    ids: list[int] = tokenizer().tokenizer.encode(rendered(body), add_special_tokens=False).ids
    return ids


def _tools(body: Body) -> set[str]:
    return {tool["function"]["name"] for tool in body.get("tools") or ()}


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))
