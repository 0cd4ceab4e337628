"""Texts as tokens, asked from a server's own tokenizer, and which form a vocabulary has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stoker.engines import http_json
from stoker.engines.base import Backend, InfillTokenizer

if TYPE_CHECKING:
    import aiohttp

    from stoker.tokens.infill import FillForm

#: A text whose tokens are the same with a token before them.
_PROBE = "a"


@contextlib.contextmanager
def holding_tokens() -> Iterator[None]:
    """Raise ``NotImplementedError`` for an answer without tokens: another kind of server's."""
    try:
        yield
    except (LookupError, TypeError, ValueError) as wrong:
        raise NotImplementedError("the server's answer holds no tokens") from wrong


@dataclass(frozen=True, slots=True)
class ServerTokenizer:
    """``InfillTokenizer`` of a server with a path that returns the ids of a text.

    Its methods raise ``aiohttp.ClientError`` where the server can't be asked, and
    ``NotImplementedError`` where its answer is another than its engine gives.
    """

    http: aiohttp.ClientSession
    backend: Backend
    path: str
    #: The request for a text; the other arguments are whether names of special tokens in it are
    #: those tokens, and whether it gets what the tokenizer puts before every text.
    body: Callable[[str, bool, bool], Mapping[str, Any]]

    async def tokens(self, text: str, *, special: bool) -> Sequence[int]:
        """The ids of a text, with nothing before them."""
        return await self._ids(text, special, begin=False) if text else []

    async def begin(self) -> Sequence[int]:
        """The ids that a prompt begins with."""
        import asyncio  # noqa: PLC0415  (a plan asks no server)

        bare, whole = await asyncio.gather(
            self._ids(_PROBE, special=False, begin=False),
            self._ids(_PROBE, special=False, begin=True),
        )
        return whole[: len(whole) - len(bare)] if whole[-len(bare) :] == bare else []

    async def _ids(self, text: str, special: bool, begin: bool) -> list[int]:
        import aiohttp  # noqa: PLC0415

        body = self.body(text, special, begin)
        try:
            answer = await http_json.post(self.http, self.backend, self.path, body)
        except aiohttp.ServerDisconnectedError:
            # It closed an idle connection just then (uvicorn does after 5 s). To ask again is safe.
            answer = await http_json.post(self.http, self.backend, self.path, body)
        with holding_tokens():
            return [int(token) for token in answer["tokens"]]


async def form_of(tokenizer: InfillTokenizer) -> FillForm | None:
    """The form of a model, by which names its tokenizer reads as one token each."""
    import asyncio  # noqa: PLC0415

    from stoker.tokens.infill import FORMS, form_of_vocabulary  # noqa: PLC0415  (a heavy room)

    names = list(dict.fromkeys(name for form in FORMS for name in form.needed))
    found = await asyncio.gather(*(tokenizer.tokens(name, special=True) for name in names))
    return form_of_vocabulary(
        [n for n, tokens in zip(names, found, strict=True) if len(tokens) == 1]
    )


async def fills_in(
    tokenizer: InfillTokenizer,
) -> bool | None:
    """Whether a model has one of the forms; ``None`` where its server can't be asked."""
    import asyncio  # noqa: PLC0415

    import aiohttp  # noqa: PLC0415

    try:
        return await form_of(tokenizer) is not None
    except (
        aiohttp.ClientError,
        asyncio.TimeoutError,
        NotImplementedError,
        LookupError,
        ValueError,
    ):
        return None
