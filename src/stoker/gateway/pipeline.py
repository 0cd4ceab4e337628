"""The row of steps that every request passes. To add one: its file, and its line in a row.

A ``Guard`` looks at the request; a ``Stage`` also sees the answer of the steps after it (both in
``request_context.py``). Each may answer in place of those. ``SelectBackend`` calls the stages after
it once for each backend that it tries, so that a request is prepared for the backend that gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.middleware.authenticate import Authenticate
from stoker.gateway.middleware.choose_model import ChooseModel
from stoker.gateway.middleware.format_errors import FormatErrors
from stoker.gateway.middleware.limit_caller import LimitCaller
from stoker.gateway.middleware.refuse_foreign_hosts import RefuseForeignHosts
from stoker.gateway.middleware.refuse_foreign_pages import RefuseForeignPages
from stoker.gateway.middleware.refuse_media_urls import RefuseMediaUrls
from stoker.gateway.middleware.refuse_while_not_ready import RefuseWhileNotReady
from stoker.gateway.middleware.validate import Validate
from stoker.gateway.prompt.prepare_for_backend import PrepareForBackend
from stoker.gateway.relay.forwarder import Forward
from stoker.gateway.request_context import Guard, Handler, RequestContext, Stage
from stoker.gateway.routing.select_backend import SelectBackend
from stoker.gateway.usage.accounting import Account

Row = tuple[Callable[[GatewayState], Guard | Stage], ...]

#: Every request, whatever its path.
EVERY_REQUEST: Row = (
    FormatErrors,
    RefuseForeignPages,
    Authenticate,
    RefuseForeignHosts,
)
#: Then requests about a model: those of ``api/path_rules.py``.
MODEL_REQUEST: Row = (
    Validate,
    RefuseMediaUrls,
    RefuseWhileNotReady,
    ChooseModel,
)
#: Then those that a backend answers. ``Account`` stands before what it accounts for.
BACKEND_REQUEST: Row = (
    LimitCaller,
    Account,
    SelectBackend,
    PrepareForBackend,
    Forward,
)


def steps(row: Row, state: GatewayState) -> list[Guard | Stage]:
    """The steps of a row for one gateway."""
    return [make(state) for make in row]


def chained(row: Sequence[Guard | Stage], last: Handler) -> Handler:
    """One handler that passes a request through the row, and then to ``last``."""
    handler, checks = last, list[Guard]()
    for step in reversed(row):
        if isinstance(step, Guard):
            checks.insert(0, step)
        else:
            handler, checks = _before(step, _checked(checks, handler)), []
    return _checked(checks, handler)


def _checked(checks: Sequence[Guard], following: Handler) -> Handler:
    """A handler that makes checks in a row: none of them encloses the next."""
    if not checks:
        return following
    each = [step.check for step in checks]

    async def checked(context: RequestContext) -> web.StreamResponse:
        for check in each:
            refusal = await check(context)
            if refusal is not None:
                return refusal
        return await following(context)

    return checked


def _before(stage: Stage, following: Handler) -> Handler:
    return lambda context: stage(context, following)
