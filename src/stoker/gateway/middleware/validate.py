"""The stage that reads a request."""

from __future__ import annotations

from typing import Any

from stoker.gateway.api import body_values, media_urls, request_validation
from stoker.gateway.api.known_conversations import KnownConversations
from stoker.gateway.api.path_rules import PATH_RULES
from stoker.gateway.client_apis.client_api import ClientApi, header_names
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext
from stoker.tokens import request_form


class Validate:
    """Reads the body once, within its size and time, and puts it in its path's normal form."""

    def __init__(self, state: GatewayState) -> None:
        self._body_s = state.timings.body_s
        self._conversations = KnownConversations()

    async def check(self, context: RequestContext, /) -> None:
        """Set ``context.rules``, ``body`` and ``legacy_calls``; raises ``BadRequestError``."""
        rules = context.rules = PATH_RULES[context.request.path]
        sent = await request_validation.read(context.request, self._body_s)
        if len(sent) > body_values.SURELY_FEW_BYTES:
            await request_validation.check_values(sent)
        context.sent_bytes = len(sent)
        if rules.api:
            body = self._translated(context, rules.api, sent)
        else:
            body, context.known = self._conversations.parse(context.caller.owner, sent)
            media_urls.refuse_servers(body)
        body = request_validation.without_private_fields(body)
        rules.check(body)
        left_out = rules.left_out(body)
        if left_out:
            context.ignored += header_names(left_out)
        context.legacy_calls = request_form.offers_functions(body)
        context.body = rules.normal(body)

    def _translated(self, context: RequestContext, api: ClientApi, sent: bytes) -> dict[str, Any]:
        """The chat that a request of another API stands for."""
        body = request_validation.parse(sent)
        media_urls.refuse_servers(body)
        context.client_body = request_validation.without_private_fields(body)
        chat = api.chat_request(context.client_body)
        context.ignored, context.may_cut = chat.ignored, chat.may_cut
        return request_validation.with_known_messages(chat.body)
