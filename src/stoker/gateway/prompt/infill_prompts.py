"""Prompts to fill in between two texts, in the form of one model, with its server's tokens."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stoker.engines import InfillApi, InfillTokenizer, server_tokenizer
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.prompt.infill_request import FillRequest
from stoker.recent_values import RecentValues
from stoker.tokens import infill
from stoker.tokens.infill import Fill, FillForm, InfillTexts, Marks, Tokens
from stoker.tokens.infill.fill_prompt import extra_tokens

#: A token of its own, so that a text behind it gets no space before it:
#: https://github.com/meta-llama/codellama/blob/main/llama/tokenizer.py, encode_infilling.
_SENTINEL = "☺"
#: Blocks of text that are not tokenized again while a person types: some 20 KB each.
_BLOCKS_KEPT = 256
#: A block with a line longer than this is not remembered.
_MOST_KEPT_CHARS = 8192
#: A text that is cut may have other tokens at the cut than before, so that it is cut once more.
_MOST_CUTS, _CUT_MORE_TOKENS = 4, 16


@dataclass(frozen=True, slots=True)
class WrittenPrompt:
    """A prompt as its engine takes it."""

    prompt: list[int] | str
    tokens: int
    #: What was cut, for the header.
    cuts: str


class InfillPrompts:
    """Writes the prompts of one model. ``learn`` makes it, once for each backend and model."""

    def __init__(
        self,
        api: InfillApi,
        form: FillForm,
        tokenizer: InfillTokenizer,
        marks: Marks,
        begin: Tokens,
        special: Mapping[str, int],
    ) -> None:
        self.form = form
        self._takes_ids = api.takes_ids
        self._tokenizer = tokenizer
        self._marks = marks
        self._begin = begin
        self._special = frozenset(special.values())
        #: The ids of the tokens with which an answer ends.
        self.stop_ids = [special[name] for name in form.stops if name in special]
        self._known = RecentValues[str, Tokens](_BLOCKS_KEPT)

    @classmethod
    async def learn(cls, api: InfillApi, tokenizer: InfillTokenizer) -> InfillPrompts | None:
        """What is needed to write prompts; ``None`` where the vocabulary has no form's tokens."""
        form = await server_tokenizer.form_of(tokenizer)
        if form is None:
            return None
        if not api.takes_ids:
            marks = {name: [form.as_text(name)] for name in form.marks}
            return cls(api, form, tokenizer, marks, (), {})
        found = await asyncio.gather(*(tokenizer.tokens(n, special=True) for n in form.names))
        ids = dict(zip(form.names, found, strict=True))
        special = {name: int(each[0]) for name, each in ids.items() if len(each) == 1}
        begin = await tokenizer.begin()
        return cls(api, form, tokenizer, {name: ids[name] for name in form.marks}, begin, special)

    async def write(self, fill: FillRequest, room_tokens: int) -> WrittenPrompt:
        """The prompt, cut to ``room_tokens``. Raises ``BadRequestError`` for text that can't be."""
        whole, parts, uncounted = await self._counted(fill, room_tokens)
        room = room_tokens
        for _ in range(_MOST_CUTS):
            written, kept = self._cut(whole, parts, room)
            count = len(written)
            if not self._takes_ids:
                pieces = await self._tokenizer.tokens("".join(written), special=True)
                self._check_pieces(pieces, written)
                written, count = "".join(written), len(pieces)
            if count <= room_tokens:
                break
            room -= count - room_tokens + _CUT_MORE_TOKENS
        cuts = infill.cuts_between(whole, kept)
        return WrittenPrompt(written, count, _with_uncounted(cuts, uncounted))

    def _check_pieces(self, pieces: Tokens, written: Sequence[str]) -> None:
        """Raise ``BadRequestError`` where a prompt has more special tokens than marks."""
        names = {name.lstrip("▁") for name in self.form.names}
        marks = set(itertools.chain.from_iterable(self._marks.values()))
        found = sum(piece.strip() in names for piece in pieces)
        if found > sum(each in marks for each in written):
            raise _special_token_in_text()

    def _cut(self, whole: InfillTexts, parts: Fill, room_tokens: int) -> tuple[Any, InfillTexts]:
        around = len(infill.prompt_of(self.form, self._marks, parts, InfillTexts([], [])))
        each = extra_tokens(self.form, self._marks)
        kept = infill.fit_texts(whole, max(0, room_tokens - around), each)
        return infill.prompt_of(self.form, self._marks, parts, kept), kept

    async def _counted(self, fill: FillRequest, room_tokens: int) -> tuple[InfillTexts, Fill, int]:
        """The texts and the other parts as tokens, and the characters that were left out before."""
        before, after = infill.near_cursor(fill.prefix, fill.suffix, room_tokens)
        extras = _last_that_may_fit(fill.extras, room_tokens)
        headed = [f"{self._heading(name)}{text}{_line_end(text)}" for name, text in extras]
        own = f"{self._heading(fill.shown_name)}" if self._heads(fill) else ""
        repository = self._repository(fill)
        prefix, suffix, name, repository_name, middle, *others = await asyncio.gather(
            self._tokens(before, grows=True, bare=bool(own)),
            *map(self._tokens, (after, own, repository)),
            self._tokens(fill.middle, grows=True),
            *map(self._tokens, headed),
        )
        left_out = len(fill.prefix) + len(fill.suffix) - len(before) - len(after)
        parts = Fill(self._begin, repository_name, name, middle)
        return InfillTexts(prefix, suffix, others), parts, left_out

    def _heads(self, fill: FillRequest) -> bool:
        """Whether the file at hand is called by its name."""
        return bool(fill.name) or (self.form.files is not None and fill.names_files)

    def _heading(self, name: str) -> str:
        """What stands before a file's text: a comment, where the form has no mark for files."""
        return f"{name}\n" if self.form.files else f"# {name}\n"

    def _repository(self, fill: FillRequest) -> str:
        if self.form.files is None or not self.form.files.repository or not fill.names_files:
            return ""
        return fill.shown_repository + self.form.files.after_repository

    async def _tokens(self, text: str, *, grows: bool = False, bare: bool = True) -> Tokens:
        """A person's text as tokens, none of which is a special one.

        It gets the space that a form's tokenizer puts before a text unless it is ``bare``. One that
        ``grows`` at its end has another last block each time.
        """
        *known, last = infill.blocks(text)
        found = await asyncio.gather(
            *(self._block(each, bare=bare or at > 0) for at, each in enumerate(known)),
            self._block(last, bare=bare or bool(known), keep=not grows),
        )
        return list(itertools.chain.from_iterable(found))

    async def _block(self, text: str, *, bare: bool, keep: bool = True) -> Tokens:
        key = text if bare else _SENTINEL + text
        found = self._known.get(key)
        if found is None:
            found = await self._free_of_names(text, bare=bare)
        if keep and len(text) <= _MOST_KEPT_CHARS:
            self._known.put(key, found)
        return found

    async def _free_of_names(self, text: str, *, bare: bool) -> Tokens:
        names = self.form.names
        if not self._takes_ids:
            return await self._tokenizer.tokens(infill.neutral(text, names), special=False)
        pieces = infill.split_at_names(text, names)
        found = await asyncio.gather(
            *(self._piece(each, bare=bare or at > 0) for at, each in enumerate(pieces))
        )
        ids = list(itertools.chain.from_iterable(found))
        if not infill.is_free_of(ids, self._special):
            raise _special_token_in_text()
        return ids

    async def _piece(self, text: str, *, bare: bool) -> Sequence[Any]:
        if not (bare and text and self.form.spaced):
            return await self._tokenizer.tokens(text, special=False)
        alone, both = await asyncio.gather(
            self._tokenizer.tokens(_SENTINEL, special=False),
            self._tokenizer.tokens(_SENTINEL + text, special=False),
        )
        return both[len(alone) :]


def _special_token_in_text() -> BadRequestError:
    return BadRequestError(
        "The text holds the name of a special token, and the model's server reads it as that token "
        "however it is sent. Ask for a completion elsewhere in the file.",
        code="special_token_in_text",
    )


def _line_end(text: str) -> str:
    return "" if text.endswith("\n") else "\n"


def _last_that_may_fit(
    extras: Sequence[tuple[str, str]], room_tokens: int
) -> list[tuple[str, str]]:
    """The last files, without those that no room can be left for."""
    kept: list[tuple[str, str]] = []
    left = min(sys.maxsize, room_tokens) * infill.MOST_CHARS_PER_TOKEN
    for name, text in reversed(extras):
        left -= len(text)
        if left < 0:
            break
        kept.insert(0, (name, text))
    return kept


def _with_uncounted(cuts: str, characters: int) -> str:
    if not characters:
        return cuts
    uncounted = f"uncounted=-{characters}ch"
    return uncounted if cuts == "none" else f"{cuts}; {uncounted}"
