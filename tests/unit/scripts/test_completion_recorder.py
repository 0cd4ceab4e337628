"""What the benchmark of suggestions keeps of requests, and answers them with."""

from __future__ import annotations

import pytest
from benchmarks.completion_recorder import Answer, Recorder, Token, answer_of, key, stopped

LINES = Answer(tuple(Token(text, -0.1) for text in ("a", " =", " 1", "\n", "b", "")), ended=True)


@pytest.mark.parametrize(
    ("body", "text", "ended"),
    [
        ({"max_tokens": 32, "stop": ["\n"]}, "a = 1", True),
        ({"max_tokens": 32, "stop": []}, "a = 1\nb", True),
        ({"max_tokens": 2, "stop": ["\n"]}, "a =", False),
        ({"n_predict": 3}, "a = 1", False),
    ],
)
def test_an_answer_ends_where_the_engine_would_have_ended_it(
    body: dict[str, object], text: str, ended: bool
) -> None:
    assert stopped(LINES, body) == (text, ended)


def test_one_that_ran_out_of_tokens_did_not_end() -> None:
    answer = answer_of({"tokens": [["a", -0.1]], "stop_type": "limit"})
    assert stopped(answer, {"max_tokens": 32}) == ("a", False)


def test_the_same_prompt_is_one_request_wherever_its_answer_is_to_end() -> None:
    recorder = Recorder()
    recorder.begin("file.py", "stoker")
    for stop in ([], ["\n"]):
        recorder.answer("/v1/completions", {"prompt": [1, 2], "stop": stop, "max_tokens": 32})
    recorder.answer("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 32})
    recorder.answer("/v1/completions", {"prompt": [4], "max_tokens": 1})  # only reads it
    kept = list(recorder.requests.values())
    assert [(each["body"]["prompt"], each["order"]) for each in kept] == [
        ([1, 2], 1),
        ([1, 2, 3], 3),
    ]


def test_llama_vscodes_sampled_and_greedy_answers_are_two() -> None:
    body = {"input_prefix": "a", "input_suffix": "b", "prompt": "c", "top_k": 40}
    assert key(body) != key({**body, "top_k": 1})


def test_a_request_that_was_not_recorded_is_no_answer() -> None:
    with pytest.raises(KeyError):
        Recorder(answers={}).answer("/infill", {"prompt": "a", "n_predict": 32})
