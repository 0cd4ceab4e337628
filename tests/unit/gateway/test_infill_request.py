"""What a request to fill in asks for, in both forms that clients send."""

from __future__ import annotations

from stoker.gateway.prompt import infill_request

COMPLETION = {"prompt": "x = ", "suffix": "\ny", "input_middle": "fo"}


def test_the_beginning_of_the_answer_is_between_the_two_texts() -> None:
    fill = infill_request.of_completion(COMPLETION)
    assert fill is not None
    assert (fill.prefix, fill.middle, fill.suffix) == ("x = ", "fo", "\ny")


def test_it_must_be_a_text() -> None:
    assert infill_request.of_completion({**COMPLETION, "input_middle": 1}) is None


def test_it_is_not_sent_on_beside_the_prompt_that_holds_it() -> None:
    assert "input_middle" not in infill_request.without_texts(COMPLETION)


def test_llama_cpps_form_does_not_have_it() -> None:
    fill = infill_request.of_infill({"input_prefix": "x", "input_suffix": "", "input_middle": "y"})
    assert fill is not None and fill.middle == ""
