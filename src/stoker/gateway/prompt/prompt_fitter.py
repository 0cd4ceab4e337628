"""Make chats fit the model that answers them: count where it matters, cut where it must be.

The tokens room decides what to cut; this module gives it the window, the counts and the limits of
one backend, and learns from the counts that come back with each answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import aiohttp
from msgspec.structs import replace

from stoker import tokens
from stoker.engines import ServedModel
from stoker.gateway.api.request_validation import parts_beyond_text
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.known_prompts import KnownPrompts, options_key
from stoker.gateway.prompt.prefill_limit import PrefillLimit
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.prompt.prompt_chain import chain_of
from stoker.gateway.prompt.server_counts import REFUSED_TO_COUNT
from stoker.gateway.prompt.stable_head import StableHead
from stoker.gateway.prompt.token_counter import TokenCounter
from stoker.gateway.relay.tool_call_rewriter import TextCalls
from stoker.gateway.usage.metrics import Metrics

_log = logging.getLogger("stoker.gateway")

#: OpenAI's longest name of a tool; of a longer one the log holds the beginning.
_NAME_CHARS = 64
#: A client asks for the same budget again and again.
_budget_for = lru_cache(maxsize=256)(tokens.budget_for)


class PromptFitter:
    """Fits chats to one model as one backend serves it."""

    def __init__(
        self,
        model: ServedModel,
        settings: FitSettings,
        counter: TokenCounter,
        known: KnownPrompts,
        metrics: Metrics,
    ) -> None:
        self._model = model
        self._enabled = settings.enabled
        self._names_tools = settings.is_small_model
        self._counter = counter
        self._known = known
        self._metrics = metrics
        self._limit = PrefillLimit(settings)
        self._head = StableHead()
        #: The model thinks before it answers, as its server reports or an answer has shown.
        self._reasons = bool(model.reasoning)
        #: A request had to be counted, and nothing could.
        self._uncountable = False

    @property
    def fits(self) -> bool:
        """Whether requests are made to fit: it is wanted, the window known, and tokens counted."""
        return self._enabled and bool(self._model.max_model_len) and not self._uncountable

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """How fast the backend reads a prompt: as measured, or as the plan predicts."""
        return self._limit.tokens_per_s

    @property
    def most_infill_tokens(self) -> int | None:
        """What may be read to complete between two texts; ``None``: the window bounds it."""
        return self._limit.infill_tokens()

    async def prepare(
        self, request: dict[str, Any], *, fit: bool = True, mark: int = 0
    ) -> Prepared:
        """The request, fitted and with its tools offered in a way that the model understands.

        What is known of prompts is kept for each ``mark``: that of an owner (``OwnerCaches``).
        Raises ``ContextLengthExceededError`` where it can't be made to fit.
        """
        window = self._model.max_model_len
        if not (fit and self._enabled and window):
            return self._unfitted(request, mark)
        time = self._limit.reading_time(request)
        if time is None:
            return await self._prepared(request, window, None, mark)
        kept = self._head.keep(request)
        prepared = await self._prepared(kept.request, window, time, mark)
        return replace(prepared, header=_with_moved(prepared.header, kept.moved_chars))

    async def _prepared(
        self, request: dict[str, Any], window: int, time: tokens.ReadingTime | None, mark: int
    ) -> Prepared:
        asked = tokens.asked_max_tokens(request)
        uncounted = self._unfitted(request, mark, asked)
        longest = self._limit.prompt_tokens()
        budget = _budget_for(window, asked, max_prompt_tokens=longest, time=time)
        # What is known costs less to find than a bound of every message, and is closer.
        most = self._known.bound(uncounted, self._counter.overheads)
        if _surely_fits(most, asked, budget):
            header = f"{uncounted.header or 'none'}; tokens<={most}"
            return replace(uncounted, header=header, most_prompt_tokens=most)
        if _surely_fits(tokens.prompt_bound(request, self._overheads(request)), asked, budget):
            return uncounted
        try:
            return await self._fitted(request, budget, mark)
        except NotImplementedError:
            self._note_uncountable()
        except tokens.TokenizerError:
            # How many tokens an image is, only its server knows.
            if not parts_beyond_text(request):
                raise
        except aiohttp.ClientResponseError as refused:
            # What can't be counted can't be answered either, and its server reports why: vLLM
            # refuses both where a text model is sent an image.
            if refused.status not in REFUSED_TO_COUNT:
                raise
        return uncounted

    async def learn(
        self, prepared: Prepared, usage: Mapping[str, Any], prefill_tokens_per_s: float | None
    ) -> None:
        """Learn from an answer: how it was counted, how fast it was read, whether it thinks."""
        if prepared.rewrite is not None and prepared.rewrite.closed_thinking:
            self._reasons = True
        used = usage.get("prompt_tokens")
        if prefill_tokens_per_s is not None:
            self._limit.learn(prefill_tokens_per_s)
        if type(used) is not int:
            return
        self._learn_prompt(prepared, used)
        if prepared.prompt_tokens is not None:
            self._note_mismatch(prepared.request, tokens.Reconciled(prepared.prompt_tokens, used))
            counted = prepared.prompt_tokens - prepared.correction_tokens
            await self._counter.learn(prepared.request, tokens.Reconciled(counted, used))

    def _learn_prompt(self, prepared: Prepared, used: int) -> None:
        """Keep what a prompt was, unless that is not credible."""
        most, counted = prepared.most_prompt_tokens, prepared.prompt_tokens
        if most is not None and used > most:
            self._metrics.mismatches.labels(self._model.id).inc()
            _log.warning(
                "%s: a prompt of at most %d tokens was read as %d: each is counted from now on",
                self._model.id,
                most,
                used,
            )
            self._known.distrust()
        elif counted is None or tokens.Reconciled(counted, used).is_plausible(prepared.request):
            self._known.note(prepared, used)

    async def _fitted(
        self, request: Mapping[str, Any], budget: tokens.Budget, mark: int
    ) -> Prepared:
        counter = self._counter
        await counter.get_ready()
        request = counter.as_read(request)
        overheads = self._overheads(request)
        steps = tokens.fit(
            request,
            budget,
            overheads=overheads,
            calibration=counter.calibration,
            names_tools=self._names_tools,
        )
        fitted = await counter.run(steps)
        self._note(fitted)
        sent = counter.form.of(fitted.request)
        return Prepared(
            sent,
            chain=chain_of(sent),
            options_key=options_key(sent) ^ mark,
            header=self._header(request, fitted.header()),
            prompt_tokens=fitted.prompt_tokens,
            max_tokens=fitted.max_tokens,
            cuts=fitted.cuts,
            cut_tokens=fitted.cut_tokens,
            rewrite=self._calls_in_text(request),
            correction_tokens=counter.corrections.of(sent),
        )

    def _unfitted(self, request: dict[str, Any], mark: int, asked: int | None = None) -> Prepared:
        sent = self._counter.form.of(request)
        return Prepared(
            sent,
            chain=chain_of(sent),
            options_key=options_key(sent) ^ mark,
            header=self._header(request),
            max_tokens=asked,
            rewrite=self._calls_in_text(request),
        )

    def _calls_in_text(self, request: Mapping[str, Any]) -> TextCalls | None:
        tools = request.get("tools")
        if not tools or request.get("tool_choice") == "none":
            return None
        return TextCalls(tools, taken_ids=partial(tokens.call_ids, request), reasons=self._reasons)

    def _header(self, request: Mapping[str, Any], cuts: str | None = None) -> str | None:
        record = self._counter.form.record(request)
        return f"{record}; {cuts}" if record and cuts not in (None, "none") else record or cuts

    def _note_uncountable(self) -> None:
        if not self._uncountable:
            _log.warning(
                "%s: nothing can count for it, so its requests are not fitted. Set `tokenizer` of "
                "its backend in the configuration",
                self._model.id,
            )
        self._uncountable = True

    def _overheads(self, request: Mapping[str, Any]) -> tokens.Overheads:
        return self._counter.form.overheads(request, self._counter.overheads)

    def _note_mismatch(self, sent: Mapping[str, Any], reconciled: tokens.Reconciled) -> None:
        if reconciled.is_exact:
            return
        self._metrics.mismatches.labels(self._model.id).inc()
        plausible = reconciled.is_plausible(sent)
        _log.warning(
            "%s: counted %d prompt tokens, the backend counted %d%s",
            self._model.id,
            reconciled.counted_tokens,
            reconciled.used_tokens,
            "" if plausible else ": too far off to learn from",
        )

    def _note(self, fitted: tokens.Fit) -> None:
        if not fitted.cuts.any:
            return
        for step in fitted.cuts.steps:
            self._metrics.fits.labels(self._model.id, step).inc()
        _log.info(
            "fitted a request for %s: %s%s",
            self._model.id,
            fitted.header(),
            _dropped(fitted.cuts),
        )


def _surely_fits(bound: int | None, asked: int | None, budget: tokens.Budget) -> bool:
    """Whether a prompt of at most ``bound`` tokens needs neither counting nor a clamp."""
    if bound is None:
        return False
    return bound <= budget.uncut_tokens and bound + (asked or 0) <= budget.max_model_len


def _with_moved(header: str | None, moved_chars: int) -> str | None:
    """The record for the client, with how much of its system prompt stands further back."""
    if not moved_chars:
        return header
    record = f"system-moved={moved_chars}ch"
    return record if header in (None, "none") else f"{record}; {header}"


def _dropped(cuts: tokens.Cuts) -> str:
    """The names of the tools that were left out; a name is the client's, so it is quoted."""
    names = ", ".join(ascii(name[:_NAME_CHARS]) for name in cuts.tools_dropped)
    return f"; without the tools {names}" if names else ""
