"""A prompt in a model's form, from the tokens of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stoker.tokens.infill.fill_forms import FillForm
from stoker.tokens.infill.fitted_texts import InfillTexts, Tokens

#: The tokens of a form's marks, by their names.
Marks = Mapping[str, Tokens]


@dataclass(frozen=True, slots=True)
class Fill:
    """What a prompt is made of, apart from the texts that are cut."""

    #: What the tokenizer puts before every text: ``<s>`` and the like, or nothing.
    begin: Tokens = ()
    #: The repository's name, and that of the file at hand with the line's end behind it. Both are
    #: written only where a form marks files, and there are other files or the name is known.
    repository: Tokens = ()
    name: Tokens = ()
    #: The beginning of the answer, at the prompt's end.
    middle: Tokens = ()


def prompt_of(form: FillForm, marks: Marks, fill: Fill, texts: InfillTexts) -> list[Any]:
    """The tokens of the whole prompt."""
    before = [*marks[form.prefix], *_in_front(form, fill, texts), *texts.prefix]
    after = [*marks[form.suffix], *texts.suffix]
    both = [*after, *before] if form.suffix_first else [*before, *after]
    end = marks[form.middle] if form.middle else ()
    return [*fill.begin, *_files(form, marks, fill, texts), *both, *end, *fill.middle]


def extra_tokens(form: FillForm, marks: Marks) -> int:
    """The tokens that each other file takes beside its own."""
    return len(marks[form.files.file]) if form.files else 0


def _files(form: FillForm, marks: Marks, fill: Fill, texts: InfillTexts) -> list[Any]:
    """The other files, where the form has marks for them."""
    files = form.files
    if files is None or not (fill.repository or fill.name):
        return []
    mark = marks[files.file]
    others = [token for extra in texts.extras for token in (*mark, *extra)]
    own = () if files.name_in_prefix else fill.name
    repository = (*marks[files.repository], *fill.repository) if files.repository else ()
    return [*repository, *others, *mark, *own]


def _in_front(form: FillForm, fill: Fill, texts: InfillTexts) -> list[Any]:
    """What stands between the mark of the prefix and the text before the cursor."""
    if form.files is None:
        return [token for extra in (*texts.extras, fill.name) for token in extra]
    return list(fill.name) if form.files.name_in_prefix else []
