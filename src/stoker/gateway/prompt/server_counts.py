"""Counts that a backend makes itself, each asked for once."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import aiohttp
import orjson

from stoker import engines, tokens
from stoker.engines import Backend
from stoker.recent_values import RecentValues

#: Requests under way at the same time that count the pieces of one prompt: the tools of an agent
#: are more than a hundred, and servers take one text at a time.
_COUNTED_AT_ONCE = 8
#: With these a server reports that it can't read the request, and is well itself.
REFUSED_TO_COUNT = (400, 422)
#: With these it reports that it has no such path: it can't count at all, and is well.
_HAS_NO_COUNT = (404, 405, 501)


class ServerCounts:
    """Asks one backend how many tokens requests and texts are, and remembers its answers."""

    def __init__(
        self, http: aiohttp.ClientSession, backend: Backend, model: str, counts_kept: int
    ) -> None:
        self._http = http
        self._backend = backend
        self._model = model
        self._client = engines.server_client(backend.engine)
        #: By the content of what was sent; the oldest first.
        self._counted = RecentValues[bytes, int](counts_kept)
        #: Of single texts, while the server counts those.
        self._pieces = tokens.PieceCache()
        self._counts_texts = True
        #: It refuses to count any messages; ``None`` where that was not tried.
        self._refuses_all: bool | None = None

    async def request(self, request: Mapping[str, Any]) -> int:
        """The tokens of a request as it is sent. Raises what the server client raises."""
        key = _content_of(request)
        known = self._counted.get(key) if key else None
        if known is None:
            known = await self.uncached(request)
        if key:
            self._counted.put(key, known)
        return known

    async def uncached(self, request: Mapping[str, Any]) -> int:
        """The same, asked again whatever is remembered."""
        try:
            return await self._count(request)
        except aiohttp.ClientResponseError as refused:
            if refused.status in REFUSED_TO_COUNT and not await self._counts_requests():
                raise NotImplementedError("the server counts no messages") from refused
            raise

    async def _counts_requests(self) -> bool:
        """Whether it counts messages at all: one that refuses even these does not.

        SGLang's ``/v1/tokenize`` took a prompt only, before it took messages too.
        """
        if self._refuses_all is None:
            least = {"model": self._model, "messages": [{"role": "user", "content": "Hi"}]}
            try:
                await self._count(least)
                self._refuses_all = False
            except aiohttp.ClientResponseError as refused:
                if refused.status not in REFUSED_TO_COUNT:
                    raise
                self._refuses_all = True
        return not self._refuses_all

    async def texts(self, texts: Sequence[str]) -> Sequence[int]:
        """The tokens of each text. Raises ``NotImplementedError`` where the server can't count."""
        with without_a_path():
            return await self._count_texts(texts)

    async def pieces(self, texts: Sequence[str]) -> Sequence[int]:
        """The tokens of each text, each asked for once; estimates where it counts no texts."""
        missing = self._pieces.missing(texts) if self._counts_texts else []
        parts = [missing[at::_COUNTED_AT_ONCE] for at in range(_COUNTED_AT_ONCE)]
        parts = [part for part in parts if part]
        try:
            counts = await asyncio.gather(*map(self._count_texts, parts))
        except NotImplementedError:
            self._counts_texts = False
        except aiohttp.ClientResponseError as refused:
            if refused.status not in (*REFUSED_TO_COUNT, *_HAS_NO_COUNT):
                raise
            self._counts_texts = False
        if not self._counts_texts:
            return tokens.estimate_strings(texts)
        pairs = zip(parts, counts, strict=True)
        found = {t: n for part, of in pairs for t, n in zip(part, of, strict=True)}
        return self._pieces.count(texts, lambda asked: [found[text] for text in asked])

    async def _count(self, request: Mapping[str, Any]) -> int:
        with _readable():
            return await self._client.count(self._http, self._backend, request)

    async def _count_texts(self, texts: Sequence[str]) -> Sequence[int]:
        with _readable():
            return await self._client.count_texts(self._http, self._backend, self._model, texts)


@contextlib.contextmanager
def without_a_path() -> Iterator[None]:
    """Raise ``NotImplementedError`` for a server without a path to count at: it is not down."""
    try:
        yield
    except aiohttp.ClientResponseError as refused:
        if refused.status in _HAS_NO_COUNT:
            raise NotImplementedError("the server has no path to count at") from refused
        raise


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Raise ``NotImplementedError`` for an answer that holds no count: another kind of server's."""
    try:
        yield
    except (LookupError, TypeError, ValueError) as wrong:
        raise NotImplementedError("the server's answer holds no count") from wrong


def _content_of(request: Mapping[str, Any]) -> bytes | None:
    """A hash of all that is sent, the model's name included; ``None`` where it can't be written."""
    try:
        return hashlib.blake2b(orjson.dumps(request), digest_size=16).digest()
    except TypeError:  # it nests deeper than orjson writes
        return None
