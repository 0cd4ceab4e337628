"""The parts of a prompt to fill in, in their order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stoker.tokens.infill import FORMS, Fill, InfillTexts, prompt_of


def written(form_name: str, middle: Sequence[str]) -> str:
    form = next(each for each in FORMS if each.name == form_name)
    marks = {name: [f"<{name.strip('<|>[]')}>"] for name in form.marks}
    return "".join(prompt_of(form, marks, Fill(middle=middle), InfillTexts(["P"], ["S"])))


@pytest.mark.parametrize("form", [form.name for form in FORMS])
def test_the_beginning_of_the_answer_stands_at_the_prompts_end(form: str) -> None:
    """So that a key more leaves all before it as it was, and the engine's cache holds."""
    assert written(form, ["x", " ="]) == written(form, []) + "x ="
