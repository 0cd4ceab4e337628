"""Make the answer of a completion end within the model's window. Its prompt is never cut."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from stoker import tokens
from stoker.engines import ServedModel
from stoker.errors import StokerError
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.gateway.prompt.prepared_request import Prepared
from stoker.gateway.prompt.token_counter import TokenCounter

#: What OpenAI's completions write where a request names no limit.
_DEFAULT_COMPLETION_TOKENS = 16
#: A completion's prompt is counted without what tokenizers put around it: a token at each end.
_SPECIAL_TOKENS = 2


class CompletionFitter:
    """Lowers ``max_tokens`` of completions for one model as one backend serves it."""

    def __init__(self, model: ServedModel, settings: FitSettings, counter: TokenCounter) -> None:
        self._model = model
        self._enabled = settings.enabled
        self._counter = counter

    async def prepare(self, request: dict[str, Any], *, fit: bool = True) -> Prepared:
        """The request with a ``max_tokens`` that the window has room for.

        Raises ``ContextLengthExceededError`` where the prompt leaves no room for an answer.
        """
        window = self._model.max_model_len
        if not (fit and self._enabled and window):
            return Prepared(request)
        prompt_tokens = await self._prompt_tokens(request, window)
        if prompt_tokens is not None and prompt_tokens >= window:
            raise tokens.ContextLengthExceededError(prompt_tokens, window - 1, window, "prompt")
        most = window - (0 if prompt_tokens is None else prompt_tokens + _SPECIAL_TOKENS)
        return Prepared(tokens.clamp_max_tokens(request, max(1, most)))

    async def _prompt_tokens(self, request: Mapping[str, Any], window: int) -> int | None:
        """The prompt's tokens; ``None`` where it surely fits or nothing can count it.

        Engines refuse what does not fit, so a server that can't count now is no reason to wait.
        """
        prompt = request.get("prompt")
        if not isinstance(prompt, str):
            return None
        asked = tokens.asked_max_tokens(request) or _DEFAULT_COMPLETION_TOKENS
        as_message = {"messages": [{"content": prompt}]}
        bound = tokens.prompt_bound(as_message, tokens.Overheads(0, 0, 0))
        if bound is not None and bound + asked <= window:
            return None
        try:
            (count,) = await self._counter.count_texts([prompt])
        except (NotImplementedError, aiohttp.ClientError, asyncio.TimeoutError, StokerError):
            return None
        return count
