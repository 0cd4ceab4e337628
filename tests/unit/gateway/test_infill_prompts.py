"""Prompts in a model's form, with a tokenizer whose every reading is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from stoker import engines
from stoker.gateway.api.request_validation import BadRequestError
from stoker.gateway.prompt.infill_prompts import InfillPrompts
from stoker.gateway.prompt.infill_request import FillRequest
from stoker.tokens.infill import FORMS

#: Ids below are those of special tokens.
_FIRST = 1000


@dataclass
class Letters:
    """A letter is a token, and so is each name of a special token where names are read."""

    names: Sequence[str]
    #: What it puts before every text, as SentencePiece does with a space.
    before: str = ""
    #: Texts that it reads as this special token whatever is asked.
    always_special: dict[str, int] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    async def tokens(self, text: str, *, special: bool) -> list[int]:
        self.read.append(text)
        if text in self.names and special:
            return [self.names.index(text)]
        if text in self.always_special:
            return [self.always_special[text]]
        return [ord(letter) + _FIRST for letter in (self.before + text if text else "")]

    async def begin(self) -> list[int]:
        return []


async def prompts_of(form: str, tokenizer: Letters) -> InfillPrompts:
    api = engines.lookup("vllm").infill
    assert api is not None
    prompts = await InfillPrompts.learn(api, tokenizer)
    assert prompts is not None and prompts.form.name == form
    tokenizer.read.clear()
    return prompts


def tokenizer_for(name: str, **fields: object) -> Letters:
    form = next(form for form in FORMS if form.name == name)
    return Letters(form.needed, **fields)  # type: ignore[arg-type]


def shown(prompt: list[int] | str, names: Sequence[str]) -> str:
    assert isinstance(prompt, list)
    return "".join(names[i] if i < _FIRST else chr(i - _FIRST) for i in prompt)


async def test_a_key_press_tokenizes_the_last_lines_alone() -> None:
    tokenizer = tokenizer_for("qwen")
    prompts = await prompts_of("qwen", tokenizer)
    line = "call(an_argument, another)\n"
    before, after = line * 1000, line * 500
    await prompts.write(FillRequest(before, after), 100_000)
    tokenizer.read.clear()
    await prompts.write(FillRequest(before + "x", after), 100_000)
    assert sum(map(len, tokenizer.read)) < 2200
    assert tokenizer.read[-1].endswith("x")


async def test_a_file_of_one_long_line_is_not_remembered() -> None:
    tokenizer = tokenizer_for("qwen")
    prompts = await prompts_of("qwen", tokenizer)
    for _ in range(2):
        await prompts.write(FillRequest("p", "s" * 9000), 100_000)
    assert tokenizer.read.count("s" * 9000) == 2


async def test_a_space_stands_before_the_first_text_alone_where_the_tokenizer_puts_one() -> None:
    """CodeLlama: the text before the cursor has it, the one after it does not."""
    tokenizer = tokenizer_for("codellama", before=" ")
    prompts = await prompts_of("codellama", tokenizer)
    written = await prompts.write(FillRequest("p <PRE> q", "s"), 1000)
    assert shown(written.prompt, tokenizer.names) == "▁<PRE> p <PRE> q▁<SUF>s▁<MID>"


async def test_a_special_token_that_comes_of_a_text_all_the_same_is_refused() -> None:
    tokenizer = tokenizer_for("qwen", always_special={"evil": 2})
    prompts = await prompts_of("qwen", tokenizer)
    with pytest.raises(BadRequestError) as refused:
        await prompts.write(FillRequest("evil", ""), 1000)
    assert (refused.value.status, refused.value.code) == (400, "special_token_in_text")


async def test_files_that_no_room_is_left_for_are_not_tokenized() -> None:
    tokenizer = tokenizer_for("qwen")
    prompts = await prompts_of("qwen", tokenizer)
    extras = tuple((f"{n}.py", str(n) * 900) for n in range(5))
    written = await prompts.write(FillRequest("p", "s", extras), 200)
    assert not any("0000" in text for text in tokenizer.read)
    assert written.tokens <= 200


async def test_what_was_not_counted_is_reported_in_characters() -> None:
    prompts = await prompts_of("qwen", tokenizer_for("qwen"))
    written = await prompts.write(FillRequest("p" * 50_000, ""), 100)
    assert written.tokens <= 100
    assert written.cuts.startswith("prefix=-")
    assert int(written.cuts.rpartition("uncounted=-")[2].removesuffix("ch")) >= 49_200
