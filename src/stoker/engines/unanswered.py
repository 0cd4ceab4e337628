"""What asking a server may raise, for those who can go on without its answer."""

from __future__ import annotations

import asyncio

import aiohttp

#: It can't be reached, or takes too long.
NO_ANSWER = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
#: It answers in another form than its engine is known for.
OTHER_FORM = (LookupError, TypeError, ValueError, AttributeError)
UNANSWERED = (*NO_ANSWER, *OTHER_FORM)
