"""Answers that the gateway writes itself."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web


def ok(value: Any) -> web.Response:
    """200 with this value as JSON."""
    return web.Response(body=orjson.dumps(value), content_type="application/json")
