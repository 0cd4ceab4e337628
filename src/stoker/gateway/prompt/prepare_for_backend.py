"""The stage that prepares a request for the backend that was selected."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack

import aiohttp
from aiohttp import web

from stoker import engines
from stoker.engines import Engine
from stoker.errors import StokerError
from stoker.gateway.api.path_rules import PATH_RULES, PathRules
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.prompt import engine_slots
from stoker.gateway.prompt.cache_ledger import CacheLedger
from stoker.gateway.prompt.owner_caches import OwnerCaches
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.prompt.preparers import Preparer
from stoker.gateway.prompt.prompt_chain import PromptChain, chain_of
from stoker.gateway.relay.backend_request import backend_request
from stoker.gateway.request_context import Handler, RequestContext
from stoker.gateway.routing.select_backend import NotPreparedError
from stoker.tokens import ContextLengthExceededError, TokenizerError

_log = logging.getLogger("stoker.gateway")

#: With these, servers report that they can't read a chat: llama.cpp has 500 for what its parsers
#: meet, and so do templates in vLLM.
_FORM_REFUSED = frozenset({400, 422, 500})
#: What keeps a request from one backend, and perhaps not from another.
_REFUSALS = (
    StokerError,
    BadRequestError,
    NotImplementedError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
)


class PrepareForBackend:
    """Fits the request to the backend's window, in the form that its engine takes.

    When the answer has come, its counts correct the next ones for the same backend.
    """

    def __init__(self, state: GatewayState) -> None:
        self._preparers = state.preparers
        self._owner_caches = state.owner_caches
        self._last_heads = state.last_heads

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.outgoing``; raises ``NotPreparedError``.

        What a template or a server refuses is sent again, rewritten for it: one rewriting more each
        time. What made it an answer is remembered for the backend.
        """
        preparer = self._preparer(context)
        before = preparer.form.rewritings
        context.rules = _rules(context)
        while True:
            outcome = await _outcome(context, preparer, proceed, self._owner_caches)
            if context.answer is not None and context.answer.status == 200:
                break
            if _is_passed_on(context, outcome):
                continue
            if not _refuses_the_messages(context, outcome):
                break
            if _takes_no_tools(context, preparer):
                context.backend.refused_tools(context.model.id)
                _log.warning("%s takes no tools: they are offered in the prompt", context.model.id)
                preparer = self._preparer(context)
                before = preparer.form.rewritings
            elif not preparer.form.rewrite_more(context.body):
                preparer.form.rewritings = before  # it was not for that
                break
        if isinstance(outcome, NotPreparedError):
            raise outcome
        is_turn = context.utility is None and not context.is_completion
        if is_turn and context.answer is not None and context.answer.status == 200:
            self._last_heads.note(context.body)
        if preparer.form.rewritings != before:
            _log.info("%s: messages are rewritten: %s", context.model.id, preparer.form.rewritings)
        return outcome

    def _preparer(self, context: RequestContext) -> Preparer:
        # A reload may have taken the model from the backend while the request waited for it.
        model = context.backend.models.get(context.model.id, context.model)
        return self._preparers.of(context.backend, model)


async def _outcome(
    context: RequestContext, preparer: Preparer, proceed: Handler, owner_caches: OwnerCaches
) -> web.StreamResponse | NotPreparedError:
    """What comes of the request as it is rewritten now."""
    context.answer = None
    with ExitStack() as held:
        try:
            prepared, chain = await _prepared(context, preparer, owner_caches, held)
        except _REFUSALS as refusal:
            error = NotPreparedError(refusal)
            error.__cause__ = refusal
            return error
        response = await proceed(context)
    if context.answer is not None:
        is_turn = context.utility is None and not context.is_completion
        await preparer.learn(prepared, chain, context.answer.report, is_turn)
    return response


def _rules(context: RequestContext) -> PathRules:
    """What the path asks for at this backend."""
    rules = PATH_RULES[context.request.path]
    return rules.passed_on if rules.passed_on and context.backend.has_no_chats else rules


def _is_passed_on(context: RequestContext, outcome: web.StreamResponse | NotPreparedError) -> bool:
    """Whether the request is to be sent again as its client wrote it: the backend has no chats."""
    if not _lacks_the_path(context, outcome):
        return False
    backend = context.backend
    backend.has_no_chats = not backend.has_no_chats
    context.rules = _rules(context)
    if backend.has_no_chats:
        _log.info("%s has no chats: requests are passed on", backend.endpoint.url)
    return backend.has_no_chats


def _lacks_the_path(
    context: RequestContext, outcome: web.StreamResponse | NotPreparedError
) -> bool:
    """Whether the backend has not the path that it was asked at, and may have another."""
    if PATH_RULES[context.request.path].passed_on is None or context.head_sent:
        return False
    if isinstance(outcome, NotPreparedError) or context.answer is None:
        return False
    return context.answer.status == 404 and context.answer.refusal.is_no_path


def _refuses_the_messages(
    context: RequestContext, outcome: web.StreamResponse | NotPreparedError
) -> bool:
    """Whether it may be the form of the messages that was refused, and the client got nothing."""
    if not context.rules.rewrites_messages or context.head_sent:
        return False
    if not isinstance(outcome, NotPreparedError):
        return context.answer is not None and context.answer.status in _FORM_REFUSED
    reason = outcome.reason
    by_server = isinstance(reason, aiohttp.ClientResponseError) and reason.status in _FORM_REFUSED
    return by_server or isinstance(reason, TokenizerError)


def _takes_no_tools(context: RequestContext, preparer: Preparer) -> bool:
    said = context.answer.whole if context.answer else b""
    offered = bool(context.body.get("tools")) and preparer.model.tools != "none"
    known = context.model.id in context.backend.models
    return known and offered and engines.says_no_tools(said.decode("utf-8", "replace"))


async def _prepared(
    context: RequestContext, preparer: Preparer, owner_caches: OwnerCaches, held: ExitStack
) -> tuple[Prepared, PromptChain]:
    """The request and its chain; it has its slot of the engine until ``held`` is closed."""
    rules, backend, owner = context.rules, context.backend, context.caller.owner
    engine = backend.engine
    salt = owner_caches.salt(owner, engine)
    rules.check_model(context.body, preparer.model)
    is_own = rules.api is None and PATH_RULES[context.request.path].api is not None
    body = context.client_body if is_own else context.body
    mark = owner_caches.mark(owner)
    prepared = await rules.prepare(preparer, body, _wants_fit(context.request), mark)
    if prepared.cuts.any and not context.may_cut:
        prepared = await _uncut(context, preparer, mark)
    chain = owner_caches.chain(owner, prepared.chain or chain_of(prepared.request))
    header = _record(prepared, preparer.ledger, chain, () if is_own else context.ignored)
    context.outgoing = backend_request(
        prepared,
        context.model.id,
        rules,
        engine,
        backend.refused_fields,
        header=header,
        fields={
            **salt,
            **(backend.completion_fields if context.is_completion else {}),
            **_slot(context, preparer, engine, chain, held),
        },
        known=context.known,
        reads_slowly=backend.fit.reads_slowly,
    )
    return prepared, chain


def _slot(
    context: RequestContext,
    preparer: Preparer,
    engine: Engine,
    chain: PromptChain,
    held: ExitStack,
) -> dict[str, int]:
    """The field that names the slot of the engine which the request is to take, if any."""
    field, body = engine.slot_field, context.body
    if field is None or not context.backend.is_ours or not context.rules.reports_prefill:
        return {}
    if field in body or not engine_slots.takes_one_slot(body):
        return {}  # the client or the engine chooses, and the gateway need not know
    user = engine_slots.slot_user(
        body,
        chain,
        is_utility=context.utility is not None,
        is_completion=context.is_completion,
    )
    number = held.enter_context(preparer.slots.held(user))
    return {} if number is None else {field: number}


async def _uncut(context: RequestContext, preparer: Preparer, mark: int) -> Prepared:
    """The request as it is, although it takes longer to read than the operator wants.

    Raises ``ContextLengthExceededError`` where the window does not hold it.
    """
    window = preparer.model.max_model_len
    count = await preparer.counter.count_request(context.body)
    if window and count >= window:
        raise ContextLengthExceededError(count, window - 1, window, "prompt")
    return await context.rules.prepare(preparer, context.body, False, mark)


def _record(
    prepared: Prepared, ledger: CacheLedger, chain: PromptChain, ignored: tuple[str, ...]
) -> str:
    """For the client: what was done to fit it, what the backend is expected to have in its cache
    and to read, and what was asked for and is left out.

    What it really read is known with its answer, whose usage reports it.
    """
    parts = [prepared.header] if prepared.header else []
    if prepared.prompt_tokens is None:
        cached, read = ledger.cached_tokens(chain), None
    else:
        read = ledger.expected(chain, prepared.prompt_tokens)
        cached = read.cached_tokens
    if cached:
        parts.append(f"cached={cached}")
    if read is not None:
        parts.append(f"read={read.read_tokens}")
        if read.wasted_tokens:
            parts.append(f"wasted={read.wasted_tokens}")
    if ignored:
        parts.append(f"ignored={','.join(ignored)}")
    return "; ".join(parts)


def _wants_fit(request: web.BaseRequest) -> bool:
    return request.headers.get("x-stoker-fit", "").lower() != "off"
