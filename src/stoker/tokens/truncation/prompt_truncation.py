"""Make a request fit its budget: cut only what does not fit, and use the room that there is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stoker.tokens.counting.token_counting import CountRequest, Request, Steps
from stoker.tokens.counting.token_upper_bound import Overheads, prompt_bound
from stoker.tokens.token_errors import ContextLengthExceededError
from stoker.tokens.truncation.calibration import Calibration
from stoker.tokens.truncation.context_budget import (
    Budget,
    ReadingTime,
    asked_max_tokens,
    clamp_max_tokens,
)
from stoker.tokens.truncation.fit_result import Cuts, Fit
from stoker.tokens.truncation.prompt_parts import LEAST_USE
from stoker.tokens.truncation.replay import Replay
from stoker.tokens.truncation.request_assembly import assemble
from stoker.tokens.truncation.request_measurement import MeasuredRequest, measure
from stoker.tokens.truncation.tool_schema_compression import forms_of

_ATTEMPTS = 5
#: By what share a prompt may differ from the sum of its parts before all of them are taken for
#: larger or smaller: pieces that were counted add up to within a few percent.
_SCALE_STEP = 0.1


@dataclass(frozen=True, slots=True)
class _CutRequest:
    request: Request
    cuts: Cuts
    #: The sum of its parts; a whole prompt is not quite that.
    estimated_tokens: int
    #: What it was to take, at most.
    wanted_tokens: int
    #: By exact count.
    tokens: int


def fit(
    request: Request,
    budget: Budget,
    *,
    overheads: Overheads | None = None,
    calibration: Calibration | None = None,
    names_tools: bool = False,
) -> Steps[Fit]:
    """Return a request that fits ``budget``; ask for counts only if it might not fit.

    With ``names_tools``, where tools are cut, a line behind each question names those that fit it.
    Raises ``ContextLengthExceededError`` where even the last message alone is too long. A
    budget that is short of time rather than space is exceeded instead.
    """
    if _surely_fits(request, budget, overheads or Overheads()):
        kept = len(request.get("tools") or ())
        return Fit(request, None, asked_max_tokens(request), Cuts(tools_kept=kept))
    tools = [forms_of(tool) for tool in request.get("tools") or ()]
    (whole,) = yield CountRequest(request)
    if whole <= budget.uncut_tokens:
        return _fit(request, whole, budget, Cuts(tools_kept=len(tools)))
    calibration = calibration or Calibration()
    measured = yield from measure(request, tools, calibration, names_tools=names_tools)
    scale = _scale(whole, measured.costs.total, 1.0)
    cut = yield from _cut(measured, budget, scale)
    if cut.tokens <= budget.hard_prompt_tokens:
        fitted = _fit(cut.request, cut.tokens, budget, cut.cuts)
        return replace(fitted, cut_tokens=max(0, whole - cut.tokens))
    raise ContextLengthExceededError(cut.tokens, budget.hard_prompt_tokens, budget.max_model_len)


def _surely_fits(request: Request, budget: Budget, overheads: Overheads) -> bool:
    bound = prompt_bound(request, overheads)
    if bound is None or bound > budget.uncut_tokens:
        return False
    return bound + (asked_max_tokens(request) or 0) <= budget.max_model_len


def _fit(request: Request, prompt_tokens: int, budget: Budget, cuts: Cuts) -> Fit:
    max_tokens = budget.clamp(asked_max_tokens(request), prompt_tokens)
    request = clamp_max_tokens(request, max(1, budget.max_model_len - prompt_tokens))
    return Fit(request, prompt_tokens, max_tokens, cuts)


def _cut(measured: MeasuredRequest, budget: Budget, scale: float) -> Steps[_CutRequest]:
    """The cut that comes nearest to the budget from below, by exact count.

    ``scale`` is by what factor the parts are expected to take more than they add up to. Each
    attempt corrects the one before by what its estimate was off. Where none is within the limit,
    the request is cut as short as it can be.
    """
    best: _CutRequest | None = None
    limit, bias = budget.prompt_tokens, 0
    for _ in range(_ATTEMPTS):
        cut = yield from _cut_to(measured, int(limit / scale), _scaled(budget.time, scale), bias)
        if best is None or _is_nearer(cut.tokens, best.tokens, limit):
            best = cut
        is_used = scale * cut.wanted_tokens * LEAST_USE <= cut.tokens
        before, scale = scale, _scale(cut.tokens, cut.estimated_tokens, scale)
        # Where time is short, less than wanted is good enough: the engine has read this beginning.
        if cut.tokens <= limit and (is_used or (budget.time is not None and scale == before)):
            break
        if cut.tokens == cut.estimated_tokens:
            break
        bias = bias + int(cut.tokens / scale) - cut.estimated_tokens if scale == before else 0
    if best is not None and best.tokens <= limit:
        return best
    return (yield from _cut_to(replace(measured, likely=None), 0, None, 0))


def _scale(tokens: int, estimated_tokens: int, scale: float) -> float:
    """The factor between a prompt and its parts, in steps, so that cuts stay where they are.

    Counted parts add up to nearly the prompt. Where a server counts whole requests only, they are
    estimates, which are off by as much as a text is unlike others.
    """
    off = max(tokens, 1) / max(estimated_tokens, 1)
    if abs(off / scale - 1) < _SCALE_STEP:
        return scale
    return max(_SCALE_STEP, round(off / _SCALE_STEP) * _SCALE_STEP)


def _scaled(time: ReadingTime | None, scale: float) -> ReadingTime | None:
    """The same limits as the parts of the prompt add up to them."""
    if time is None:
        return None
    results = time.result_tokens and int(time.result_tokens / scale)
    return ReadingTime(int(time.head_tokens / scale), int(time.added_tokens / scale), results)


def _cut_to(
    measured: MeasuredRequest, limit: int, time: ReadingTime | None, bias: int
) -> Steps[_CutRequest]:
    """Cut a request to parts that add up to about ``limit`` tokens.

    ``bias`` is by how many tokens their sum has been below the exact count.
    """
    replay = Replay(measured, limit, time, bias)
    yield from replay.run()
    request, cuts = assemble(measured, replay.parts)
    (tokens,) = yield CountRequest(request)
    parts = replay.parts
    last = parts.last_unit
    return _CutRequest(request, cuts, parts.total(last), parts.wanted_tokens(last), tokens)


def _is_nearer(tokens: int, best_tokens: int, limit: int) -> bool:
    if tokens > limit:
        return tokens < best_tokens
    return best_tokens > limit or tokens > best_tokens
