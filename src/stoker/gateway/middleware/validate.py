"""The stage that reads a request."""

from __future__ import annotations

from aiohttp import web

from stoker.gateway.api import media_urls, request_validation
from stoker.gateway.api.path_rules import PATH_RULES
from stoker.gateway.client_apis.client_api import header_names
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import Handler, RequestContext
from stoker.tokens import request_form


class Validate:
    """Reads the body once, within its size and time, and puts it in its path's normal form."""

    def __init__(self, state: GatewayState) -> None:
        self._body_s = state.timings.body_s

    async def __call__(self, context: RequestContext, proceed: Handler, /) -> web.StreamResponse:
        """Set ``context.rules``, ``body`` and ``legacy_calls``; raises ``BadRequestError``."""
        rules = context.rules = PATH_RULES[context.request.path]
        body = await request_validation.read(context.request, self._body_s)
        media_urls.refuse_servers(body)
        if rules.api:
            context.client_body = request_validation.without_private_fields(body)
            chat = rules.api.chat_request(context.client_body)
            body, context.ignored, context.may_cut = chat.body, chat.ignored, chat.may_cut
        body = request_validation.with_known_messages(body)
        body = request_validation.without_private_fields(body)
        rules.check(body)
        context.ignored += header_names(rules.left_out(body))
        context.legacy_calls = request_form.offers_functions(body)
        context.body = rules.normal(body)
        return await proceed(context)
