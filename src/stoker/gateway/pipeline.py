"""The row of stages that every request passes. To add one: its file, and its line in a row.

A stage may answer in place of those after it, and sees their answer (``Stage`` in
``request_context.py``). ``SelectBackend`` calls the stages after it once for each backend that it
tries, so that a request is prepared for the backend that gets it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from stoker.gateway.request_context import Handler, Stage
from stoker.gateway.routing.select_backend import SelectBackend
from stoker.gateway.usage.accounting import Account

Row = tuple[Callable[[GatewayState], Stage], ...]

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


def stages(row: Row, state: GatewayState) -> list[Stage]:
    """The stages of a row for one gateway."""
    return [make(state) for make in row]


def chained(row: Sequence[Stage], last: Handler) -> Handler:
    """One handler that passes a request through the row, and then to ``last``."""
    handler = last
    for stage in reversed(row):
        handler = _before(stage, handler)
    return handler


def _before(stage: Stage, following: Handler) -> Handler:
    return lambda context: stage(context, following)
