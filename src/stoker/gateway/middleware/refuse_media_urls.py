"""The stage that keeps engines from fetching what a client names."""

from __future__ import annotations

import asyncio

from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext

#: A smaller request is looked through within some 10 ms, whatever it holds.
_LARGE_BYTES = 131_072


class RefuseMediaUrls:
    """Refuses URLs of images, sound, videos and files, but for data URLs and allowed hosts."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def check(self, context: RequestContext, /) -> None:
        """Raises ``BadRequestError``."""
        sent = context.client_body if context.rules.api else context.body
        known = len(context.known.messages) if context.known is not None else 0
        check = self._state.media_hosts.check
        if context.sent_bytes > _LARGE_BYTES:
            await asyncio.to_thread(check, sent, known)
        else:
            check(sent, known)
