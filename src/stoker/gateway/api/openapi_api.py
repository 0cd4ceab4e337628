"""``/openapi.json``: the gateway's own description, for generators of clients.

The file is written by scripts/openapi_document.py from contract/gateway-api.json.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from aiohttp import web

from stoker.gateway.api.json_answers import JsonAnswer
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext


async def document(_: GatewayState, __: RequestContext) -> web.Response:
    """``GET /openapi.json``."""
    return JsonAnswer(_content())


@cache
def _content() -> bytes:
    return files("stoker.gateway.api").joinpath("openapi.json").read_bytes()
