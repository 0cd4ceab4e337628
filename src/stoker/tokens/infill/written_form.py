"""The form of a model that no table has, learned from a prompt that its engine wrote. Pure.

llama.cpp's ``/infill`` writes such a prompt itself, and reads at most ``n_batch`` tokens of the two
texts, of other files what ``n_ctx`` leaves beside a whole batch, and does not report what it left
out (``format_prompt_infill``; measured with b11549). So the form is learned once from what it
writes for a marked request, and filled in here with all that the window has room for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.tokens.infill.fitted_texts import InfillTexts

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


@dataclass(frozen=True, slots=True)
class WrittenForm:
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


def form_of(written: str) -> WrittenForm | None:
    """The form of the prompt that was written for ``MARKED_REQUEST``; ``None`` if it is unclear."""
    found = _MARKED.fullmatch(written)
    if found is None or found["early"] == found["late"]:
        return None
    first, before = found["first"] or "", found["before"]
    if not first.endswith(before or ""):
        return None
    return WrittenForm(
        head=first.removesuffix(before or ""),
        before_extra=before,
        after_name=found["after_name"],
        around=(found["one"], found["two"], found["last"]),
        suffix_first=found["early"] == _SUFFIX,
    )


def assemble(form: WrittenForm, literals: Mapping[str, Ids], texts: InfillTexts) -> Ids:
    """The prompt. ``literals`` has the ids of ``form.literals``."""
    both = (texts.suffix, texts.prefix) if form.suffix_first else (texts.prefix, texts.suffix)
    one, two, last = (literals[piece] for piece in form.around)
    before = None if form.before_extra is None else literals[form.before_extra]
    extras = texts.extras if before is not None else ()
    files = [token for extra in extras for token in (*(before or ()), *extra)]
    return [*literals[form.head], *files, *one, *both[0], *two, *both[1], *last]
