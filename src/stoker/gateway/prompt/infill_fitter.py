"""Make a request to complete between two texts fit, and let the engine read all that fits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from stoker import engines, tokens
from stoker.engines import Backend, InfillApi, ServedModel
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.tokens import infill_form
from stoker.tokens.infill_form import Ids, InfillForm, InfillTexts

_log = logging.getLogger("stoker.gateway")

_TEXTS = ("input_prefix", "input_suffix", "prompt")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a model is asked, with the ids of what stands around the texts."""

    form: InfillForm
    literals: Mapping[str, Ids]

    def prompt(self, texts: InfillTexts) -> Ids:
        return infill_form.assemble(self.form, self.literals, texts)


class InfillFitter:
    """Writes the prompts of one model itself, where its engine's own path would leave text out."""

    def __init__(
        self,
        model: ServedModel,
        settings: FitSettings,
        backend: Backend,
        http: aiohttp.ClientSession,
        most_prompt_tokens: Callable[[], int | None],
    ) -> None:
        self._model = model.id
        self._window = model.max_model_len if settings.enabled else None
        self._api = engines.lookup(backend.engine).infill
        self._backend = backend
        self._http = http
        self._most_prompt_tokens = most_prompt_tokens
        #: Results in ``None`` where the engine writes prompts in a form that is not understood.
        self._learning: asyncio.Task[_Form | None] | None = None

    async def prepare(self, request: dict[str, Any], *, fit: bool = True) -> Prepared:
        """The request with a prompt of all that fits; as it is where the engine reads it whole."""
        api, window = self._api, self._window
        if not (fit and api and window) or not _can_be_written(request, api):
            return Prepared(request)
        try:
            form = await self._learned(api)
            if form is None:
                return Prepared(request)
            texts = await self._texts(api, form.form, request)
        except (aiohttp.ClientError, asyncio.TimeoutError, KeyError):
            return Prepared(request)  # its server refuses it in its own words, or is down
        return self._fitted(request, form, texts, api.path, window)

    def _fitted(
        self, request: Mapping[str, Any], form: _Form, texts: InfillTexts, path: str, window: int
    ) -> Prepared:
        limit = self._most_prompt_tokens()
        budget = tokens.budget_for(window, _asked(request), max_prompt_tokens=limit)
        around = len(form.prompt(InfillTexts([], [])))
        before = form.form.before_extra
        each = None if before is None else len(form.literals[before])
        kept = infill_form.fit_texts(texts, max(0, budget.prompt_tokens - around), each)
        cuts, prompt = infill_form.cuts_between(texts, kept), form.prompt(kept)
        if cuts != "none":
            cuts = f"{cuts}; tokens={len(prompt)}"
            _log.info("fitted a request to fill in: %s", cuts)
        sent = {k: v for k, v in request.items() if k not in (*_TEXTS, "input_extra")}
        return Prepared({**sent, "prompt": prompt}, header=cuts, path=path)

    async def _learned(self, api: InfillApi) -> _Form | None:
        """The form, asked for once, also where the client that needed it first has left."""
        task = self._learning
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._learning = asyncio.create_task(self._learn(api))
        return await asyncio.shield(task)

    async def _learn(self, api: InfillApi) -> _Form | None:
        marked = {**infill_form.MARKED_REQUEST, "model": self._model}
        written, count = await api.written(self._http, self._backend, marked)
        form = infill_form.form_of(written)
        if form is not None:
            found = await self._with_ids(api, form)
            # What would be sent for the marked request must be what the engine read.
            if count == len(found.prompt(await self._texts(api, form, marked))):
                return found
        _log.warning(
            "backend %s: its form for filling in is not known, so it may leave text out",
            self._backend.url,
        )
        return None

    async def _with_ids(self, api: InfillApi, form: InfillForm) -> _Form:
        pieces = dict.fromkeys(form.literals)
        return _Form(form, {piece: await self._ids(api, piece, special=True) for piece in pieces})

    async def _texts(
        self, api: InfillApi, form: InfillForm, request: Mapping[str, Any]
    ) -> InfillTexts:
        prefix = await self._ids(api, request.get("input_prefix") or "")
        # llama.cpp reads special tokens in this one, which continues the text before the cursor.
        prefix += await self._ids(api, request.get("prompt") or "", special=True)
        suffix = await self._ids(api, request.get("input_suffix") or "")
        extras = [
            await self._ids(api, name) + await self._ids(api, text)
            for name, text in (
                form.extra_text(extra.get("filename") or "tmp", extra["text"])
                for extra in request.get("input_extra") or ()
            )
        ]
        return InfillTexts(prefix, suffix, extras)

    async def _ids(self, api: InfillApi, text: str, *, special: bool = False) -> Ids:
        if not text:
            return []
        return await api.tokenize(self._http, self._backend, self._model, text, special)


def _can_be_written(request: Mapping[str, Any], api: InfillApi) -> bool:
    """Whether the request has the right shape, and more than the engine's own path surely reads."""
    texts = [request.get(name) or "" for name in _TEXTS]
    extras = request.get("input_extra") or []
    if not all(isinstance(text, str) for text in texts) or not _are_files(extras):
        return False
    before, after = api.surely_read_bytes
    prefix, suffix, rest = (len(text.encode()) for text in texts)
    return bool(extras) or prefix + rest > before or suffix > after


def _are_files(extras: Any) -> bool:
    return isinstance(extras, list) and all(
        isinstance(extra, dict)
        and isinstance(extra.get("text"), str)
        and isinstance(extra.get("filename", ""), str)
        for extra in extras
    )


def _asked(request: Mapping[str, Any]) -> int | None:
    asked = request.get("n_predict")
    own = asked if isinstance(asked, int) and asked > 0 else None
    return own or tokens.asked_max_tokens(request)
