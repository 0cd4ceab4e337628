"""Messages write one of a thing, or several."""

from __future__ import annotations

import pytest

from stoker.counted import Counted, counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 models"), (1, "1 model"), (2, "2 models"), (1200, "1,200 models")]
)
def test_a_number_has_its_noun(number: int, text: str) -> None:
    assert counted(number, "model") == text
    template = "{count:model}"
    assert template.format(count=Counted(number)) == text


def test_a_template_may_still_write_the_number_alone() -> None:
    template = "{n} {n:,} {n:d}"
    assert template.format(n=Counted(1200)) == "1200 1,200 1200"
