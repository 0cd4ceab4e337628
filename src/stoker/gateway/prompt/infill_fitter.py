"""Requests to complete between two texts, answered alike whatever engine serves the model."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from stoker import engines, models, tokens
from stoker.engines import Backend, InfillApi, ServedModel
from stoker.gateway.api.request_validation import BadRequestError, check_suffix
from stoker.gateway.client_apis import infill_api
from stoker.gateway.client_apis.infill_api import InfillAnswers
from stoker.gateway.prompt import infill_request
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.infill_prompts import InfillPrompts, WrittenPrompt
from stoker.gateway.prompt.infill_request import FillRequest
from stoker.gateway.prompt.own_infill import OwnInfillPrompts
from stoker.gateway.prompt.prepared_request import Prepared

_log = logging.getLogger("stoker.gateway")


class InfillFitter:
    """Writes prompts for one model as one backend serves it, in the model's own form."""

    def __init__(
        self,
        model: ServedModel,
        settings: FitSettings,
        backend: Backend,
        http: aiohttp.ClientSession,
        most_prompt_tokens: Callable[[], int | None],
    ) -> None:
        self._model = model
        self._enabled = settings.enabled
        self._api = engines.lookup(backend.engine).infill
        self._backend = backend
        self._http = http
        self._most_prompt_tokens = most_prompt_tokens
        self._own = OwnInfillPrompts(model.id, backend, http)
        #: Results in ``None`` where the vocabulary has the tokens of no form.
        self._learning: asyncio.Task[InfillPrompts | None] | None = None

    async def prepare(self, request: dict[str, Any], *, fit: bool = True) -> Prepared:
        """A request in llama.cpp's form, as the engine gets it.

        Raises ``BadRequestError`` where it has the wrong shape or the model no form.
        """
        api = self._api
        if api is None:
            return Prepared(request)  # another gateway, or a server that may have such a path
        fill = infill_request.of_infill(request)
        if api.own and (fill is None or not (fit and self._enabled and self._model.max_model_len)):
            return Prepared(request)  # its own path reads it, or refuses it in its own words
        if fill is None:
            raise _wrong_shape("input_prefix, input_suffix")
        try:
            prompts = await self._learned(api)
        except (aiohttp.ClientError, asyncio.TimeoutError, LookupError, BadRequestError):
            if api.own:
                return Prepared(request)
            raise
        if prompts is None:
            return await self._by_the_engines_form(api, request)
        written = await self._written(prompts, fill, request, fit=fit)
        if api.own:
            sent = {**infill_request.without_texts(request), "prompt": written.prompt}
            return Prepared(sent, header=_header(written), path=api.own.path)
        return self._as_completion(api, prompts, request, written)

    async def prepare_completion(self, request: dict[str, Any], *, fit: bool = True) -> Prepared:
        """A completion with ``suffix``, as the engine gets it; raises as ``prepare`` does."""
        api = self._api
        if api is None:
            check_suffix(request, self._model)
            return Prepared(request)
        fill = infill_request.of_completion(request)
        if fill is None:
            raise _wrong_shape("prompt and suffix")
        prompts = await self._learned(api)
        if prompts is None:
            raise self._no_form("suffix")
        written = await self._written(prompts, fill, request, fit=fit)
        sent = tokens.clamp_max_tokens(
            infill_request.without_texts(request), self._most_answer_tokens(written) or sys.maxsize
        )
        return self._sent(api, prompts, dict(sent), written)

    def _as_completion(
        self,
        api: InfillApi,
        prompts: InfillPrompts,
        request: Mapping[str, Any],
        written: WrittenPrompt,
    ) -> Prepared:
        """A request of ``/infill`` for an engine that has only OpenAI's completions."""
        asked, most = infill_request.asked_tokens(request), self._most_answer_tokens(written)
        longest = min((n for n in (asked, most) if n), default=None)
        rest = infill_request.without_texts(request)
        sent, ignored = infill_api.completion_request(rest, longest)
        answers = InfillAnswers(self._model.id, written.tokens, truncated=written.cuts != "none")
        return self._sent(api, prompts, sent, written, ignored, answers)

    def _sent(
        self,
        api: InfillApi,
        prompts: InfillPrompts,
        request: dict[str, Any],
        written: WrittenPrompt,
        ignored: tuple[str, ...] = (),
        answers: InfillAnswers | None = None,
    ) -> Prepared:
        body = {**_with_stops(request, api, prompts), "prompt": written.prompt}
        if api.native:
            body, more = api.native.request({**body, "model": self._model.id})
            ignored = (*ignored, *more)
        header = _header(written)
        if ignored:
            header = f"{header}; ignored={','.join(ignored)}"
        return Prepared(body, header=header, path=api.path, native=api.native, answers=answers)

    async def _written(
        self, prompts: InfillPrompts, fill: FillRequest, request: Mapping[str, Any], *, fit: bool
    ) -> WrittenPrompt:
        window = self._model.max_model_len
        cuts = fit and self._enabled
        room = self._room(request) if cuts else sys.maxsize
        written = await prompts.write(fill, room)
        if window and written.tokens >= window:
            raise tokens.ContextLengthExceededError(written.tokens, window - 1, window, "prompt")
        if written.cuts != "none":
            _log.info("fitted a request to fill in: %s", written.cuts)
        return written

    def _room(self, request: Mapping[str, Any]) -> int:
        """The longest prompt: what the answer leaves of the window, and is read in time."""
        limit, window = self._most_prompt_tokens(), self._model.max_model_len
        if not window:
            return limit or sys.maxsize
        asked = infill_request.asked_tokens(request)
        return tokens.budget_for(window, asked, max_prompt_tokens=limit).prompt_tokens

    def _most_answer_tokens(self, written: WrittenPrompt) -> int | None:
        window = self._model.max_model_len
        return max(1, window - written.tokens) if window else None

    async def _by_the_engines_form(self, api: InfillApi, request: dict[str, Any]) -> Prepared:
        """A request for a model that is in no table, by a form that its engine knows."""
        if api.own is None or self._model.fill_in_the_middle is False:
            raise self._no_form("input_suffix")
        try:
            return await self._own.prepare(request, api, self._room(request))
        except aiohttp.ClientResponseError as refused:
            if refused.status != 501:
                return Prepared(request)
            raise self._no_form("input_suffix") from refused

    def _no_form(self, field: str) -> BadRequestError:
        others = [model.name for model in models.smallest_that_fill_in()]
        return BadRequestError(
            f"The model {self._model.id!r} can't fill in between two texts: its vocabulary has no "
            f"tokens for that. {' and '.join(others)} can: stoker up {others[0]}.",
            code="no_infill_form",
            param=field,
        )

    async def _learned(self, api: InfillApi) -> InfillPrompts | None:
        """The model's form, asked for once, also where the client that needed it has left."""
        task = self._learning
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._learning = asyncio.create_task(self._learn(api))
        try:
            return await asyncio.shield(task)
        except NotImplementedError as other:
            raise BadRequestError(
                f"The server of {self._model.id!r} answers its path for tokens with something else,"
                " so no prompt to fill in can be written for it. Check which server it is: "
                "stoker doctor.",
                status=501,
                code="no_tokens",
            ) from other

    async def _learn(self, api: InfillApi) -> InfillPrompts | None:
        tokenizer = await api.tokenizer(self._http, self._backend, self._model.id)
        return await InfillPrompts.learn(api, tokenizer)


def _with_stops(request: dict[str, Any], api: InfillApi, prompts: InfillPrompts) -> dict[str, Any]:
    """The request with what ends an answer of this form, beside what the client wants."""
    if api.stop_ids_field:
        own = request.get(api.stop_ids_field)
        wanted = own if isinstance(own, list) else []
        return {**request, api.stop_ids_field: [*wanted, *prompts.stop_ids]}
    if not api.most_stops:
        return request
    stop = request.get("stop") or []
    wanted = [stop] if isinstance(stop, str) else list(stop)
    stops = [prompts.form.as_stop(name) for name in prompts.form.stops]
    return {**request, "stop": list(dict.fromkeys((*wanted, *stops)))[: api.most_stops]}


def _header(written: WrittenPrompt) -> str:
    return f"{written.cuts}; tokens={written.tokens}"


def _wrong_shape(fields: str) -> BadRequestError:
    return BadRequestError(
        f"{fields} must be texts, and input_extra a list of files, each with a text.",
        code="invalid_type",
        param=fields.partition(",")[0].partition(" ")[0],
    )
