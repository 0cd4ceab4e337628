"""Requests to fill in for a model that no table has, by the form that its engine itself writes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from stoker.engines import Backend, InfillApi, InfillTokenizer
from stoker.gateway.prompt import infill_request
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.tokens import infill
from stoker.tokens.infill import InfillTexts, written_form
from stoker.tokens.infill.written_form import Ids, WrittenForm

_log = logging.getLogger("stoker.gateway")

_TEXTS = ("input_prefix", "input_suffix", "prompt")


@dataclass(frozen=True, slots=True)
class _Form:
    """How a model is asked, with the ids of what stands around the texts."""

    form: WrittenForm
    literals: Mapping[str, Ids]
    tokenizer: InfillTokenizer

    def prompt(self, texts: InfillTexts) -> Ids:
        return written_form.assemble(self.form, self.literals, texts)


class OwnInfillPrompts:
    """Writes the prompts of one model itself, where its engine's own path would leave text out."""

    def __init__(self, model: str, backend: Backend, http: aiohttp.ClientSession) -> None:
        self._model = model
        self._backend = backend
        self._http = http
        #: Results in ``None`` where the engine writes prompts in a form that is not understood.
        self._learning: asyncio.Task[_Form | None] | None = None

    async def prepare(self, request: dict[str, Any], api: InfillApi, room_tokens: int) -> Prepared:
        """The request with a prompt of all that fits; as it is where the engine reads it whole.

        Raises ``aiohttp.ClientResponseError`` where the engine refuses.
        """
        own = api.own
        if own is None or not _can_be_written(request, own.surely_read_bytes):
            return Prepared(request)
        try:
            form = await self._learned(api)
            if form is None:
                return Prepared(request)
            texts = await _texts(form.tokenizer, form.form, request)
        except aiohttp.ClientResponseError:
            raise
        except (aiohttp.ClientError, asyncio.TimeoutError, NotImplementedError, LookupError):
            return Prepared(request)  # its server is down, or is another
        return _fitted(request, form, texts, own.path, room_tokens)

    async def _learned(self, api: InfillApi) -> _Form | None:
        """The form, asked for once, also where the client that needed it first has left."""
        task = self._learning
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._learning = asyncio.create_task(self._learn(api))
        return await asyncio.shield(task)

    async def _learn(self, api: InfillApi) -> _Form | None:
        if api.own is None:
            return None
        tokenizer = await api.tokenizer(self._http, self._backend, self._model)
        marked = {**written_form.MARKED_REQUEST, "model": self._model}
        written, count = await api.own.written(self._http, self._backend, marked)
        form = written_form.form_of(written)
        if form is not None:
            pieces = dict.fromkeys(form.literals)
            literals = {piece: await _ids(tokenizer, piece, special=True) for piece in pieces}
            found = _Form(form, literals, tokenizer)
            # What would be sent for the marked request must be what the engine read.
            if count == len(found.prompt(await _texts(tokenizer, form, marked))):
                return found
        _log.warning(
            "backend %s: its form for filling in is not known, so it may leave text out",
            self._backend.url,
        )
        return None


def _fitted(
    request: Mapping[str, Any], form: _Form, texts: InfillTexts, path: str, room_tokens: int
) -> Prepared:
    around = len(form.prompt(InfillTexts([], [])))
    before = form.form.before_extra
    each = None if before is None else len(form.literals[before])
    kept = infill.fit_texts(texts, max(0, room_tokens - around), each)
    cuts, prompt = infill.cuts_between(texts, kept), form.prompt(kept)
    if cuts != "none":
        cuts = f"{cuts}; tokens={len(prompt)}"
        _log.info("fitted a request to fill in: %s", cuts)
    sent = infill_request.without_texts(request)
    return Prepared({**sent, "prompt": prompt}, header=cuts, path=path)


async def _texts(
    tokenizer: InfillTokenizer, form: WrittenForm, request: Mapping[str, Any]
) -> InfillTexts:
    prefix = await _ids(tokenizer, request.get("input_prefix") or "")
    # llama.cpp reads special tokens in this one, which continues the text before the cursor.
    prefix += await _ids(tokenizer, request.get("prompt") or "", special=True)
    suffix = await _ids(tokenizer, request.get("input_suffix") or "")
    extras = [
        await _ids(tokenizer, name) + await _ids(tokenizer, text)
        for name, text in (
            form.extra_text(extra.get("filename") or "tmp", extra["text"])
            for extra in request.get("input_extra") or ()
        )
    ]
    return InfillTexts(prefix, suffix, extras)


async def _ids(tokenizer: InfillTokenizer, text: str, *, special: bool = False) -> Ids:
    return [int(token) for token in await tokenizer.tokens(text, special=special)]


def _can_be_written(request: Mapping[str, Any], surely_read_bytes: tuple[int, int]) -> bool:
    """Whether it has more than the engine's own path surely reads."""
    before, after = surely_read_bytes
    prefix, suffix, rest = (len((request.get(name) or "").encode()) for name in _TEXTS)
    return bool(request.get("input_extra")) or prefix + rest > before or suffix > after
