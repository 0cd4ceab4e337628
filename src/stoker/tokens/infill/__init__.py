"""Prompts that a model completes between two texts: the forms of models, filled in and cut. Pure.

A prompt is made of tokens: of their ids for an engine that takes those, of the pieces of text that
they stand for where an engine takes text alone. Everything here works with either.
"""

from stoker.tokens.infill.fill_forms import FORMS, FileMarks, FillForm, form_of_vocabulary
from stoker.tokens.infill.fill_prompt import Fill, Marks, prompt_of
from stoker.tokens.infill.fitted_texts import InfillTexts, Tokens, cuts_between, fit_texts
from stoker.tokens.infill.user_text import (
    MOST_CHARS_PER_TOKEN,
    blocks,
    is_free_of,
    near_cursor,
    neutral,
    split_at_names,
)

__all__ = [
    "FORMS",
    "MOST_CHARS_PER_TOKEN",
    "FileMarks",
    "Fill",
    "FillForm",
    "InfillTexts",
    "Marks",
    "Tokens",
    "blocks",
    "cuts_between",
    "fit_texts",
    "form_of_vocabulary",
    "is_free_of",
    "near_cursor",
    "neutral",
    "prompt_of",
    "split_at_names",
]
