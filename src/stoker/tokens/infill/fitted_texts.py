"""The texts of a request to fill in, cut to the room that there is, far from the cursor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Tokens: their ids, or the pieces of text that they stand for.
Tokens = Sequence[Any]

#: The text before the cursor gets this share of a room that is too small for both, as in llama.cpp.
_PREFIX_SHARE = 0.75
#: A text that grows at the cursor is cut in steps at its far end, so that most prompts begin as the
#: one before and the engine's prefix cache goes on hitting.
_CUT_STEP_TOKENS = 256


@dataclass(frozen=True, slots=True)
class InfillTexts:
    """The texts of one request, as tokens: those of other files in their order."""

    prefix: Tokens
    suffix: Tokens
    extras: Sequence[Tokens] = ()

    @property
    def tokens(self) -> int:
        """All tokens of the texts."""
        return len(self.prefix) + len(self.suffix) + sum(map(len, self.extras))


def fit_texts(texts: InfillTexts, room_tokens: int, extra_tokens: int | None) -> InfillTexts:
    """The texts cut to ``room_tokens``, at their ends far from the cursor.

    Other files go first, from the front, where llama.cpp cuts too; each takes ``extra_tokens``
    beside its text; ``None`` has none of them.
    """
    left = max(0, room_tokens - len(texts.prefix) - len(texts.suffix))
    kept: list[Tokens] = []
    for extra in reversed(texts.extras if extra_tokens is not None else ()):
        left -= len(extra) + (extra_tokens or 0)
        if left < 0:
            break
        kept.insert(0, extra)
    if len(texts.prefix) + len(texts.suffix) <= room_tokens:
        return InfillTexts(texts.prefix, texts.suffix, kept)
    share = max(int(_PREFIX_SHARE * room_tokens), room_tokens - len(texts.suffix))
    prefix = _without_start(texts.prefix, share)
    return InfillTexts(prefix, texts.suffix[: max(0, room_tokens - len(prefix))], kept)


def cuts_between(whole: InfillTexts, kept: InfillTexts) -> str:
    """What was cut, for the header ``x-stoker-fit``: ``none``, or numbers of tokens and files."""
    prefix, suffix = len(whole.prefix) - len(kept.prefix), len(whole.suffix) - len(kept.suffix)
    parts = [
        f"prefix=-{prefix}" if prefix else "",
        f"suffix=-{suffix}" if suffix else "",
        f"extras={len(whole.extras)}>{len(kept.extras)}"
        if len(whole.extras) > len(kept.extras)
        else "",
    ]
    return "; ".join(part for part in parts if part) or "none"


def _without_start(tokens: Tokens, most: int) -> Tokens:
    over = len(tokens) - most
    if over <= 0:
        return tokens
    step = max(1, min(_CUT_STEP_TOKENS, most // 8))
    return tokens[math.ceil(over / step) * step :]
