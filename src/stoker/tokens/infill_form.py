"""Prompts that a model completes between two texts, as token ids: learned, filled in and cut. Pure.

llama.cpp's ``/infill`` writes such a prompt itself, and reads at most ``n_batch`` tokens of the two
texts, of other files what ``n_ctx`` leaves beside a whole batch, and does not report what it left
out (``format_prompt_infill``; measured with b11549). So the form is learned once from what it
writes for a marked request, and filled in here with all that the window has room for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Ids = list[int]

_PREFIX, _SUFFIX = "\x01", "\x02"
#: A request whose texts can be found again in the prompt that is written for it.
MARKED_REQUEST: Mapping[str, Any] = {
    "input_prefix": _PREFIX,
    "input_suffix": _SUFFIX,
    "input_extra": [
        {"filename": "\x03", "text": "\x04"},
        {"filename": "\x05", "text": "\x06"},
    ],
}
_MARKED = re.compile(
    "(?:(?P<first>[^\x01-\x06]*)(?:\x03(?P<after_name>[^\x01-\x06]*))?\x04"
    "(?P<before>[^\x01-\x06]*)(?:\x05(?P=after_name))?\x06)?"
    "(?P<one>[^\x01-\x06]*)(?P<early>[\x01\x02])(?P<two>[^\x01-\x06]*)(?P<late>[\x01\x02])"
    "(?P<last>[^\x01-\x06]*)"
)
#: The text before the cursor gets this share of a room that is too small for both, as in llama.cpp.
_PREFIX_SHARE = 0.75
#: A text that grows at the cursor is cut in steps at its far end, so that most prompts begin as the
#: one before and the engine's prefix cache goes on hitting.
_CUT_STEP_TOKENS = 256


@dataclass(frozen=True, slots=True)
class InfillForm:
    """What stands around the texts. Special tokens are written by their names."""

    #: Before everything.
    head: str
    #: Before each other file; ``None`` where the engine has no room for any: llama.cpp in a window
    #: that is no larger than a batch.
    before_extra: str | None
    #: Between such a file's name and its text; ``None`` where names are left out.
    after_name: str | None
    #: Before the text that comes first, before the other one, and at the end.
    around: tuple[str, str, str]
    #: The text after the cursor comes first.
    suffix_first: bool

    @property
    def literals(self) -> tuple[str, ...]:
        """All that stands around texts."""
        return (self.head, self.before_extra or "", *self.around)

    def extra_text(self, name: str, text: str) -> tuple[str, str]:
        """The texts of one other file, which are tokenized apart."""
        return ("" if self.after_name is None else name + self.after_name, text)


@dataclass(frozen=True, slots=True)
class InfillTexts:
    """The texts of one request, as token ids: those of other files in their order."""

    prefix: Ids
    suffix: Ids
    extras: Sequence[Ids] = ()

    @property
    def tokens(self) -> int:
        """All tokens of the texts."""
        return len(self.prefix) + len(self.suffix) + sum(map(len, self.extras))


def form_of(written: str) -> InfillForm | None:
    """The form of the prompt that was written for ``MARKED_REQUEST``; ``None`` if it is unclear."""
    found = _MARKED.fullmatch(written)
    if found is None or found["early"] == found["late"]:
        return None
    first, before = found["first"] or "", found["before"]
    if not first.endswith(before or ""):
        return None
    return InfillForm(
        head=first.removesuffix(before or ""),
        before_extra=before,
        after_name=found["after_name"],
        around=(found["one"], found["two"], found["last"]),
        suffix_first=found["early"] == _SUFFIX,
    )


def assemble(form: InfillForm, literals: Mapping[str, Ids], texts: InfillTexts) -> Ids:
    """The prompt. ``literals`` has the ids of ``form.literals``."""
    both = (texts.suffix, texts.prefix) if form.suffix_first else (texts.prefix, texts.suffix)
    one, two, last = (literals[piece] for piece in form.around)
    before = None if form.before_extra is None else literals[form.before_extra]
    extras = texts.extras if before is not None else ()
    files = [token for extra in extras for token in (*(before or ()), *extra)]
    return [*literals[form.head], *files, *one, *both[0], *two, *both[1], *last]


def fit_texts(texts: InfillTexts, room_tokens: int, extra_tokens: int | None) -> InfillTexts:
    """The texts cut to ``room_tokens``, at their ends far from the cursor.

    Other files go first, from the front, where llama.cpp cuts too; each takes ``extra_tokens``
    beside its text; ``None`` has none of them.
    """
    left = max(0, room_tokens - len(texts.prefix) - len(texts.suffix))
    kept: list[Ids] = []
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


def _without_start(ids: Ids, most: int) -> Ids:
    over = len(ids) - most
    if over <= 0:
        return ids
    step = max(1, min(_CUT_STEP_TOKENS, most // 8))
    return ids[math.ceil(over / step) * step :]
