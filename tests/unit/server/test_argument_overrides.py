"""A plan's arguments change as a person asks, or as a failed start teaches."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import vllm_cpu

from stoker.errors import UsageError
from stoker.server.argument_overrides import corrected, overridden
from stoker.server.diagnosis.log_diagnosis import diagnose

PLAN = vllm_cpu.plan(Path("/m"))
TOO_LONG = diagnose(
    ["Based on the available memory, the estimated maximum model length is 1024. Try increasing"]
)


def test_estimate_of_vllm_becomes_the_context() -> None:
    plan = corrected(PLAN, TOO_LONG, ())
    assert plan is not None
    assert plan.argument("max-model-len") == 1024
    assert plan.max_model_len == 1024
    assert len(plan.arguments) == len(PLAN.arguments)


def test_value_that_a_person_set_is_not_changed() -> None:
    assert corrected(PLAN, TOO_LONG, ("max-model-len",)) is None


def test_value_that_did_not_help_is_not_tried_again() -> None:
    once = corrected(PLAN, TOO_LONG, ())
    assert once is not None
    assert corrected(once, TOO_LONG, ()) is None


def test_failure_without_a_known_change_is_not_retried() -> None:
    assert corrected(PLAN, diagnose(["OSError: [Errno 98] Address already in use"]), ()) is None
    assert corrected(PLAN, None, ()) is None


def test_engine_argument_replaces_the_plans_own_in_any_spelling() -> None:
    plan = overridden(PLAN, ["--max_num_seqs=4", "enforce-eager=false", "dtype=half", "swap"])
    assert plan.argument("max-num-seqs") == 4
    assert plan.argument("enforce-eager") is False
    assert plan.argument("dtype") == "half"
    assert plan.argument("swap") is True
    assert overridden(PLAN, ["max-model-len=512"]).max_model_len == 512


def test_argument_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError, match="names no argument"):
        overridden(PLAN, ["=4"])


def test_new_argument_keeps_the_spelling_that_the_engine_knows() -> None:
    plan = overridden(PLAN, ["n_predict=48", "sampling.ignore_eos=true"])
    assert plan.argument("n_predict") == 48
    assert plan.argument("sampling.ignore_eos") is True
