"""Why an engine ended, said for a person."""

from __future__ import annotations

import pytest

from stoker.server.diagnosis.exit_reason import explain, how_it_ended
from stoker.server.diagnosis.log_diagnosis import Reader, diagnose


def test_known_cause_is_reported_with_its_fix() -> None:
    lines = ["OSError: [Errno 98] Address already in use"]
    problem = explain("vllm", diagnose(lines), 1)
    assert problem.why.startswith("The port is taken: ")
    assert "--port" in problem.fix


def test_unknown_cause_is_the_error_that_the_log_names() -> None:
    lines = ["INFO fine", "GGML_ASSERT(x) failed", "goodbye"]
    why = explain("llama.cpp", diagnose(lines), 1).why
    assert why.startswith("Stoker does not know this failure: ")
    assert "GGML_ASSERT(x) failed." in why


@pytest.mark.parametrize("exit_code", [-9, 137])
def test_engine_that_was_killed_had_no_last_words(exit_code: int) -> None:
    lines = ["(APIServer pid=1) INFO 11-23 Route: /abort_requests, Methods: POST", "error before"]
    assert "SIGKILL" in explain("vllm", diagnose(lines), exit_code).why


@pytest.mark.parametrize(
    ("exit_code", "expected"), [(-11, "SIGSEGV"), (139, "SIGSEGV"), (3, "code 3")]
)
def test_engine_that_printed_nothing_is_explained_by_its_exit_code(
    exit_code: int, expected: str
) -> None:
    assert expected in explain("vllm", diagnose(["INFO all is well"]), exit_code).why


@pytest.mark.parametrize("exit_code", [-7, 135])
def test_bus_error_is_the_lack_of_shared_memory(exit_code: int) -> None:
    reader = Reader("vllm")
    reader.feed(["RuntimeError: Engine core initialization failed.", how_it_ended(exit_code)])
    problem = explain("vllm", reader.verdict(), exit_code)
    assert "Shared memory" in problem.why
    assert "stoker up then starts the container with --ipc=host" in problem.fix


def test_first_error_is_reported_and_not_the_last_one_that_names_nothing() -> None:
    lines = ["error loading model: tensor blk.0.attn_k has wrong shape", "Failed to init server"]
    why = explain("llama.cpp", diagnose(lines), 1).why
    assert "tensor blk.0.attn_k has wrong shape." in why
