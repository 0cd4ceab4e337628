"""The forms of models: told apart by their vocabularies, and written as their publishers show."""

from __future__ import annotations

import pytest

from stoker.tokens.infill import (
    FORMS,
    Fill,
    FillForm,
    InfillTexts,
    form_of_vocabulary,
    prompt_of,
)

BY_NAME = {form.name: form for form in FORMS}
#: What each publisher writes for the text before the cursor ``P`` and after it ``S``.
PLAIN = {
    "qwen": "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    "codegemma": "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    "granite-4": "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    "starcoder2": "<fim_prefix>P<fim_suffix>S<fim_middle>",
    "mellum": "<fim_suffix>S<fim_prefix>P<fim_middle>",
    "granite-code": "<fim_prefix>P<fim_suffix>S<fim_middle>",
    "deepseek": "<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>",
    "codellama": "▁<PRE>P▁<SUF>S▁<MID>",
    "codestral": "[SUFFIX]S[PREFIX]P",
    "seed-coder": "<[fim-suffix]>S<[fim-prefix]>P<[fim-middle]>",
}
WITH_FILES = {
    "qwen": "<|repo_name|>shop\n<|file_sep|>a.py\nA\n<|file_sep|>m.py\n"
    "<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>",
    "starcoder2": "<repo_name>shop<file_sep>a.py\nA\n<file_sep><fim_prefix>m.py\nP"
    "<fim_suffix>S<fim_middle>",
    "mellum": "<filename>a.py\nA\n<filename>m.py\n<fim_suffix>S<fim_prefix>P<fim_middle>",
    "deepseek": "<｜fim▁begin｜># a.py\nA\n# m.py\nP<｜fim▁hole｜>S<｜fim▁end｜>",
    "codestral": "[SUFFIX]S[PREFIX]# a.py\nA\n# m.py\nP",
}


def written(form: FillForm, fill: Fill, *extras: str) -> str:
    marks = {mark: [mark] for mark in form.marks}
    return "".join(prompt_of(form, marks, fill, InfillTexts("P", "S", extras)))


def test_every_form_is_covered_here() -> None:
    assert [form.name for form in FORMS] == list(PLAIN)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_two_texts_are_written_as_the_publisher_shows(form: FillForm) -> None:
    assert written(form, Fill()) == PLAIN[form.name]
    assert written(form, Fill(begin=["<s>"])) == "<s>" + PLAIN[form.name]


@pytest.mark.parametrize("name", WITH_FILES)
def test_other_files_are_written_as_the_publisher_shows(name: str) -> None:
    form = BY_NAME[name]
    after = form.files.after_repository if form.files else ""
    heading = "{}\n" if form.files else "# {}\n"
    fill = Fill(repository=f"shop{after}", name=heading.format("m.py"))
    assert written(form, fill, heading.format("a.py") + "A\n") == WITH_FILES[name]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_is_known_by_its_own_tokens_and_not_without_one_of_them(form: FillForm) -> None:
    assert form_of_vocabulary(form.needed) == form
    for name in form.needed:
        assert form_of_vocabulary(set(form.needed) - {name}) != form


def test_a_vocabulary_of_none_is_not_guessed() -> None:
    assert form_of_vocabulary(["<|im_start|>", "<|im_end|>", "[INST]"]) is None


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_an_answer_can_not_begin_another_prompt(form: FillForm) -> None:
    """Each mark of two texts ends it, and every name stays a text in a person's file."""
    assert {form.prefix, form.suffix} <= set(form.stops)
    assert set(form.stops) | set(form.needed) <= set(form.names)
    assert form.source.startswith("https://")


def test_marks_as_text_are_those_that_the_tokenizer_reads_as_the_same_tokens() -> None:
    form = BY_NAME["codellama"]
    assert [form.as_text(mark) for mark in form.marks] == ["<PRE> ", " <SUF>", " <MID>"]
    assert form.as_stop("▁<EOT>") == "<EOT>"
    assert BY_NAME["qwen"].as_text("<|fim_prefix|>") == "<|fim_prefix|>"
