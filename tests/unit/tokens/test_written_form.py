"""A prompt to fill in is written as the engine writes it, and cut far from the cursor.

The first form is what llama.cpp b11549 writes for Qwen2.5-Coder; the others follow what their
models' cards show: StarCoder 2, DeepSeek Coder, CodeLlama, Codestral (text after the cursor first).
"""

from __future__ import annotations

import pytest

from stoker.tokens.infill import InfillTexts, cuts_between, fit_texts
from stoker.tokens.infill.written_form import MARKED_REQUEST, WrittenForm, assemble, form_of

SNIPPET = "\n\n--- snippet ---\n\n"
#: What is written for the marked request, and for a request without other files.
WRITTEN = {
    "Qwen2.5-Coder": (
        "<|repo_name|>myproject\n<|file_sep|>\x03\n\x04<|file_sep|>\x05\n\x06<|file_sep|>filename\n"
        "<|fim_prefix|>\x01<|fim_suffix|>\x02<|fim_middle|>",
        "<|repo_name|>myproject\n<|file_sep|>filename\n"
        "<|fim_prefix|>PRE<|fim_suffix|>SUF<|fim_middle|>",
    ),
    "StarCoder 2": (
        "<repo_name>myproject\n<file_sep>\x03\n\x04<file_sep>\x05\n\x06<file_sep>filename\n"
        "<fim_prefix>\x01<fim_suffix>\x02<fim_middle>",
        "<repo_name>myproject\n<file_sep>filename\n<fim_prefix>PRE<fim_suffix>SUF<fim_middle>",
    ),
    "DeepSeek Coder": (
        f"<BOS>{SNIPPET}\x04{SNIPPET}\x06<｜fim▁begin｜>\x01<｜fim▁hole｜>\x02<｜fim▁end｜>",
        "<BOS><｜fim▁begin｜>PRE<｜fim▁hole｜>SUF<｜fim▁end｜>",
    ),
    "CodeLlama": (
        f"<s>{SNIPPET}\x04{SNIPPET}\x06 <PRE> \x01 <SUF>\x02 <MID>",
        "<s> <PRE> PRE <SUF>SUF <MID>",
    ),
    "Codestral": (
        f"{SNIPPET}\x04{SNIPPET}\x06[SUFFIX]\x02[PREFIX]\x01",
        "[SUFFIX]SUF[PREFIX]PRE",
    ),
}


def learned(written: str) -> WrittenForm:
    form = form_of(written)
    assert form is not None
    return form


def text_of(form: WrittenForm, prefix: str, suffix: str, extras: list[str]) -> str:
    """The prompt as text: each character stands for a token."""
    literals = {piece: list(map(ord, piece)) for piece in form.literals}
    ids = [list(map(ord, extra)) for extra in extras]
    texts = InfillTexts(list(map(ord, prefix)), list(map(ord, suffix)), ids)
    return "".join(map(chr, assemble(form, literals, texts)))


@pytest.mark.parametrize(("marked", "plain"), WRITTEN.values(), ids=WRITTEN)
def test_a_learned_form_writes_what_the_engine_writes(marked: str, plain: str) -> None:
    form = learned(marked)
    extras = [
        "".join(form.extra_text(extra["filename"], extra["text"]))
        for extra in MARKED_REQUEST["input_extra"]
    ]
    assert text_of(form, "\x01", "\x02", extras) == marked
    assert text_of(form, "PRE", "SUF", []) == plain


@pytest.mark.parametrize(
    "written",
    [
        "",
        "\x01",
        "a\x04b\x06<p>\x01<s>\x01<m>",
        "a\x04b\x06<p>\x01<s>\x02<m>\x04",
        "a\x03\n\x04b\x05\t\x06<p>\x01<s>\x02<m>",
        "a\x04b\x06<p>\x01<s>\x02<m>",  # the first file is not written as the second one
    ],
)
def test_a_form_that_is_not_understood_is_not_guessed(written: str) -> None:
    assert form_of(written) is None


def test_an_engine_without_room_for_other_files_teaches_the_form_without_them() -> None:
    """llama.cpp in a window of one batch: a request with files is written without."""
    form = learned("<|fim_prefix|>\x01<|fim_suffix|>\x02<|fim_middle|>")
    assert form.before_extra is None
    assert text_of(form, "PRE", "SUF", ["x"]) == "<|fim_prefix|>PRE<|fim_suffix|>SUF<|fim_middle|>"
    kept = fit_texts(texts(10, 10, 10), 1000, None)
    assert cuts_between(texts(10, 10, 10), kept) == "extras=1>0"


def texts(prefix: int, suffix: int, *extras: int) -> InfillTexts:
    return InfillTexts(
        list(range(prefix)), list(range(suffix)), [list(range(extra)) for extra in extras]
    )


@pytest.mark.parametrize(
    ("given", "room", "cuts"),
    [
        (texts(700, 200), 1000, "none"),
        (texts(700, 200, 50, 40), 1000, "none"),
        (texts(700, 200, 60, 40), 1000, "extras=2>1"),
        (texts(700, 200, 400), 1000, "extras=1>0"),
        (texts(2000, 200), 1000, "prefix=-1200"),
        (texts(100, 2000), 1000, "suffix=-1100"),
        (texts(2000, 2000, 5), 1000, "prefix=-1302; suffix=-1698; extras=1>0"),
        (texts(5, 5, 5), 0, "prefix=-5; suffix=-5; extras=1>0"),
    ],
)
def test_what_does_not_fit_is_cut_and_reported(given: InfillTexts, room: int, cuts: str) -> None:
    kept = fit_texts(given, room, 5)
    assert kept.tokens + 5 * len(kept.extras) <= room
    assert cuts_between(given, kept) == cuts


@pytest.mark.parametrize("room", [1, 7, 100, 1000, 3000])
def test_what_stands_at_the_cursor_is_kept(room: int) -> None:
    given = texts(2000, 1500, 10, 20)
    kept = fit_texts(given, room, 5)
    assert kept.prefix == given.prefix[len(given.prefix) - len(kept.prefix) :]
    assert kept.suffix == given.suffix[: len(kept.suffix)]
    assert kept.tokens <= room


def test_typing_seldom_moves_where_a_cut_text_begins() -> None:
    starts = {fit_texts(texts(5000 + typed, 300), 4096, 5).prefix[0] for typed in range(256)}
    assert len(starts) <= 2
