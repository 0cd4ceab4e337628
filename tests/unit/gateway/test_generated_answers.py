"""Of generated answers no text is lost and no call is made up, however they are cut and sent."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import generated_answers
from tests.support.generated_answers import Answer

PLACES = st.integers(0, 4000)


@settings(max_examples=60)
@given(generated_answers.printed_answers(), PLACES)
def test_calls_in_text_are_those_that_the_model_printed_whole(answer: Answer, place: int) -> None:
    generated_answers.check(answer, place)


@settings(max_examples=60)
@given(generated_answers.native_answers(), PLACES)
def test_native_calls_are_those_that_the_server_sent_whole(answer: Answer, place: int) -> None:
    generated_answers.check(answer, place)
