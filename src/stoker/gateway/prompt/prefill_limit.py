"""The longest prompt that a backend reads in time, which follows its measured speed."""

from __future__ import annotations

from stoker import tokens
from stoker.gateway.prompt.fit_settings import FitSettings

#: Room in the time budget: prefill slows down as the prompt grows, and its speed is an estimate.
_TIME_SHARE = 0.8
#: A limit that follows a measured speed moves in steps, so that it stays the same from turn to
#: turn and the engine's prefix cache goes on hitting.
_LIMIT_STEP_TOKENS = 256
#: However slow the backend, an agent's prompt gets what it would get in a window of 2048 tokens.
#: Below that, the instructions are cut away: Qwen2.5-Coder-0.5B, asked to list a folder, called
#: the right tool in 20 of 20 tries with 1,486 tokens and in 1 of 20 with 724.
_LEAST_LIMIT_TOKENS = tokens.budget_for(2048).prompt_tokens
#: Code at the cursor needs less: a screen or two of it (about 100 lines), however slow the backend.
_INFILL_SHARE, _LEAST_INFILL_TOKENS = 0.5, 1024
#: A measurement that differs by less than this factor changes nothing.
_SPEED_CHANGED = 1.5


class PrefillLimit:
    """Bounds a prompt by what the backend reads within ``first_token_target_s``."""

    def __init__(self, settings: FitSettings) -> None:
        self._max_prompt_tokens = settings.max_prompt_tokens
        self._target_s = settings.first_token_target_s * _TIME_SHARE
        #: Tokens per second as measured, or as the plan predicts.
        self.tokens_per_s = settings.prefill_tokens_per_s
        self._timed_limit = self._limit_for_time()

    def prompt_tokens(self) -> int | None:
        """The longest prompt in tokens; ``None`` where only the window bounds it."""
        wanted = self._max_prompt_tokens
        return wanted if isinstance(wanted, int) else self._timed_limit if wanted else None

    def infill_tokens(self) -> int | None:
        """The same for a completion between two texts, whose reader types and waits less."""
        limit, wanted = self.prompt_tokens(), self._max_prompt_tokens
        timed = limit is not None and not isinstance(wanted, int)
        return max(_LEAST_INFILL_TOKENS, int(_INFILL_SHARE * limit)) if timed and limit else limit

    def learn(self, measured_tokens_per_s: float) -> None:
        """Take a measured speed, where it differs from the known one by enough."""
        known = self.tokens_per_s
        ratio = measured_tokens_per_s / known if known else 0.0
        if not 1 / _SPEED_CHANGED < ratio < _SPEED_CHANGED:
            self.tokens_per_s = measured_tokens_per_s
            self._timed_limit = self._limit_for_time()

    def _limit_for_time(self) -> int | None:
        if self.tokens_per_s is None:
            return None
        limit = tokens.prompt_tokens_for_time(self.tokens_per_s, self._target_s)
        return max(_LEAST_LIMIT_TOKENS, limit // _LIMIT_STEP_TOKENS * _LIMIT_STEP_TOKENS)
