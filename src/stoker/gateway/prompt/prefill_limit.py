"""The longest prompt that a backend reads in time, which follows its measured speed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from stoker import tokens
from stoker.gateway.prompt.conversation_keys import conversation_key, head_key
from stoker.gateway.prompt.fit_settings import FitSettings
from stoker.recent_values import RecentValues

#: How long system prompt and tools may take to read. They are read once: later turns and other
#: conversations of the same client find them in the cache, so that the wait comes once, and what
#: is left out for it would be missing in every answer.
HEAD_READ_S = 120.0
#: Room in the time budget: prefill slows down as the prompt grows, and its speed is an estimate.
_TIME_SHARE = 0.8
#: A limit that follows a measured speed moves in steps, so that a small change changes nothing.
_LIMIT_STEP_TOKENS = 256
#: What is added needs a screen or two of code (about 100 lines), however slow the backend.
_LEAST_ADDED_TOKENS = 1024
#: However slow the backend, an agent's head has room for 15 tools in few words (1,400 tokens of VS
#: Code's) beside instructions, and is so long that what is added is at most 30 % of the prompt.
_LEAST_HEAD_TOKENS = 2560
#: A person who types waits less for a completion at the cursor than for a chat's answer.
_INFILL_SHARE = 0.5
#: A small model loses the thread in a long head, so it gets the least that an agent needs, however
#: fast it is read: Qwen2.5-Coder-0.5B, asked to list a folder with all 39 tools in its prompt of
#: 9,685 tokens, called list_dir in 6 of 20 tries, and tools that it had made up in 14.
_SMALL_MODEL_HEAD_TOKENS = _LEAST_HEAD_TOKENS
#: So a result has three sevenths of that, and 70 % of the prompt was read before. The model can
#: read on, unlike in what a person attaches, which may take as long as any.
_SMALL_MODEL_RESULT_TOKENS = _SMALL_MODEL_HEAD_TOKENS * 3 // 7
#: A measurement that differs by less than this factor changes nothing.
_SPEED_CHANGED = 1.5
#: Heads and conversations whose limits are remembered: some 100 bytes each.
_LIMITS_KEPT = 512


class PrefillLimit:
    """Bounds what has to be read of a prompt by what the backend reads in time.

    A head keeps the limit with which it was first sent, and so does a conversation: measured speeds
    vary, and another limit would cut in other places, so that all is read again.
    """

    def __init__(self, settings: FitSettings) -> None:
        self._max_prompt_tokens = settings.max_prompt_tokens
        self._added_s = settings.first_token_target_s
        #: Tokens per second as measured, or as the plan predicts.
        self.tokens_per_s = settings.prefill_tokens_per_s
        is_small = settings.is_small_model
        self._most_head_tokens = _SMALL_MODEL_HEAD_TOKENS if is_small else sys.maxsize
        self._most_result_tokens = _SMALL_MODEL_RESULT_TOKENS if is_small else None
        self._heads = RecentValues[int, int](_LIMITS_KEPT)
        self._conversations = RecentValues[int, int](_LIMITS_KEPT)

    def prompt_tokens(self) -> int | None:
        """The longest prompt that the operator wants; ``None`` where the window bounds it."""
        wanted = self._max_prompt_tokens
        return wanted if isinstance(wanted, int) else None

    def reading_time(self, request: Mapping[str, Any]) -> tokens.ReadingTime | None:
        """What of a chat is read in time; ``None`` where that does not matter or is not known."""
        head, added = self._readable(HEAD_READ_S), self._readable(self._added_s)
        if head is None or added is None:
            return None
        messages = request.get("messages")
        head = min(self._most_head_tokens, max(_LEAST_HEAD_TOKENS, head, added))
        return tokens.ReadingTime(
            self._heads.first(head_key(messages), head),
            self._conversations.first(conversation_key(messages), max(_LEAST_ADDED_TOKENS, added)),
            self._most_result_tokens,
        )

    def infill_tokens(self) -> int | None:
        """What may be read to complete between two texts; ``None``: the window bounds it."""
        readable = self._readable(self._added_s)
        if readable is None:
            return self.prompt_tokens()
        return max(_LEAST_ADDED_TOKENS, int(_INFILL_SHARE * readable))

    def learn(self, measured_tokens_per_s: float) -> None:
        """Take a measured speed, where it differs from the known one by enough."""
        known = self.tokens_per_s
        ratio = measured_tokens_per_s / known if known else 0.0
        if not 1 / _SPEED_CHANGED < ratio < _SPEED_CHANGED:
            self.tokens_per_s = measured_tokens_per_s

    def _readable(self, target_s: float) -> int | None:
        """The tokens that are read in so many seconds; ``None`` where time does not matter."""
        if self._max_prompt_tokens != "auto" or self.tokens_per_s is None:
            return None
        readable = tokens.prompt_tokens_for_time(self.tokens_per_s, target_s * _TIME_SHARE)
        return readable // _LIMIT_STEP_TOKENS * _LIMIT_STEP_TOKENS
