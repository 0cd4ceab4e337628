"""The pieces of a text that its tokens stand for."""

from __future__ import annotations

from collections.abc import Sequence


def pieces(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """One piece for each token; joined they are ``text``.

    ``spans`` are the places of the tokens, in characters. What a tokenizer adds before the text has
    an empty one, and gets no piece. Of a character that several tokens share, the first has it.
    """
    found: list[str] = []
    at = 0
    for start, stop in spans:
        if not found and start == stop == 0:
            continue
        end = max(at, stop)
        found.append(text[at:end])
        at = end
    if at < len(text):
        found[-1:] = [(found[-1] if found else "") + text[at:]]
    return found
