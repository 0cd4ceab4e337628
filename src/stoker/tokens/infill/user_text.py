"""A person's text in a prompt: no name of a special token in it becomes that token.

Tokenizers of servers read such names wherever they stand. Where a prompt is token ids, the text is
cut within each name and its pieces are tokenized apart: their ids are those of the same text, and
of no special token. Where a prompt is a text, a space is put into each name.
"""

from __future__ import annotations

import re
from functools import cache

from stoker.tokens.infill.fitted_texts import Tokens

#: What special tokens look like that no program writes by chance: a tuned model may have more of
#: them than its family.
_SHAPES = (
    r"<\|[^\s<>|]{1,64}\|>",
    r"<｜[^\s<>｜]{1,64}｜>",
    r"<\[[^\s<>\[\]]{1,64}\]>",
    r"\[control_\d+\]",
    r"<unused\d+>",
    r"<\|?reserved_[^\s<>]{1,48}>",
)
#: No text is tokenized of which more than this many characters a token would have to fit. Code has
#: three to four; only deep indentation and the like have more.
MOST_CHARS_PER_TOKEN = 8
#: A text is tokenized in blocks of about this many characters, each of which begins a line: while a
#: person types, all but the last stay as they are. Such a cut changes no token, as a rule
#: (``LocalTokenizer``), and no text ever.
_BLOCK_CHARS = 2048
_LINE_START = re.compile(r"(?<=\n)(?=[!-~])")


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the names, of several at one place the longest."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join((*map(re.escape, longest_first), *_SHAPES)))


def split_at_names(text: str, names: tuple[str, ...]) -> list[str]:
    """The text in pieces, none of which holds one of ``names`` or what looks like one."""
    pieces, start = [], 0
    pattern = _pattern(names)
    while (found := pattern.search(text, start)) is not None:
        cut = found.start() + 1
        pieces.append(text[start:cut])
        start = cut
    return [*pieces, text[start:]]


def neutral(text: str, names: tuple[str, ...]) -> str:
    """The text with a space behind the first character of each name."""
    return " ".join(split_at_names(text, names))


def is_free_of(tokens: Tokens, special: frozenset[int]) -> bool:
    """Whether none of these ids is that of a special token."""
    return special.isdisjoint(tokens)


def blocks(text: str) -> list[str]:
    """The text in blocks: the same ones, but for the last, when it has grown at its end."""
    found, start = [], 0
    while (line := _LINE_START.search(text, start + _BLOCK_CHARS)) is not None:
        found.append(text[start : line.start()])
        start = line.start()
    return [*found, text[start:]]


def near_cursor(before: str, after: str, most_tokens: int) -> tuple[str, str]:
    """Of two texts what may fit, before anything is counted: a long file is not tokenized whole.

    The start of what is kept moves in steps, as cuts do, so that it stays where it is while a
    person types.
    """
    most = max(1, most_tokens * MOST_CHARS_PER_TOKEN)
    step = max(1, most // 8)
    over = len(before) - most
    start = 0 if over <= 0 else -(-over // step) * step
    return before[start:], after[:most]
