"""What was found on a machine holds there, and for the values that it was measured against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stoker import paths
from stoker.application import HostFacts, LaunchRequest, choose, imagined_machine, tuned_arguments
from stoker.application.tuned_arguments import Tuned
from stoker.errors import StokerError
from stoker.host import Cpu, Host
from stoker.models import Model
from stoker.planning import Argument, MemoryPrediction, Plan

pytestmark = pytest.mark.usefixtures("home")

HOST = imagined_machine("RTX 4060").host
PLAN = Plan(
    model=Model("m", "gguf", "file", "m"),
    engine="llama.cpp",
    max_model_len=1024,
    parallel=1,
    arguments=(Argument("threads", 4, "cores"), Argument("batch", 64, "")),
    memory=MemoryPrediction(1, 1, 1, 10),
)
FASTER = PLAN.with_arguments([Argument("threads", 8, ""), Argument("drafts", 2, "")])


def tuned() -> None:
    known = tuned_arguments.found(Tuned(), PLAN, FASTER, 1.25)
    tuned_arguments.remember(PLAN, HOST, known)


def applied(plan: Plan, host: Host) -> Plan:
    (found,) = tuned_arguments.applied([plan], host)
    return found


def test_a_later_plan_has_it_with_what_was_measured_as_the_reason() -> None:
    tuned()
    plan = applied(PLAN, HOST)
    assert (plan.argument("threads"), plan.argument("drafts")) == (8, 2)
    (threads,) = [a for a in plan.arguments if a.name == "threads"]
    assert "25% faster" in threads.reason
    assert "planned was 4" in threads.reason


def test_another_machine_model_or_planned_value_is_left_alone() -> None:
    tuned()
    other_host = replace(HOST, cpu=Cpu("another", 4, 8, avx2=True))
    assert applied(PLAN, other_host) == PLAN
    other_model = replace(PLAN, model=replace(PLAN.model, id="n"))
    assert applied(other_model, HOST) == other_model
    planned_otherwise = PLAN.with_arguments([Argument("threads", 6, "")])
    assert applied(planned_otherwise, HOST) == planned_otherwise


def test_what_is_found_on_top_of_an_earlier_finding_is_measured_against_the_plan() -> None:
    tuned()
    running = applied(PLAN, HOST)
    better = running.with_arguments([Argument("threads", 7, "")])
    known = tuned_arguments.found(tuned_arguments.read(PLAN, HOST), running, better, 1.1)
    assert known.planned == {"threads": 4}
    assert known.better == {"threads": 7, "drafts": 2}
    assert known.gain == pytest.approx(1.375)


def test_it_can_be_forgotten() -> None:
    assert not tuned_arguments.forget()
    tuned()
    assert tuned_arguments.forget()
    assert applied(PLAN, HOST) == PLAN


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b"\xff", b'{"\xff": 1}'])
def test_a_file_that_can_not_be_read_is_as_none(content: bytes) -> None:
    tuned()
    Path(paths.config_dir() / "tuned.json").write_bytes(content)
    assert applied(PLAN, HOST) == PLAN


def test_what_can_not_be_kept_is_reported_before_anything_is_measured() -> None:
    (paths.config_dir() / "tuned.json").mkdir(parents=True)
    for ask in (tuned_arguments.require_writable, tuned_arguments.forget, tuned):
        with pytest.raises(StokerError, match="can't be kept"):
            ask()


def test_what_was_found_stays_where_it_is_asked_whether_more_can_be_kept() -> None:
    tuned_arguments.require_writable()
    assert not tuned_arguments.forget()
    tuned()
    tuned_arguments.require_writable()
    assert tuned_arguments.read(PLAN, HOST).better == {"threads": 8, "drafts": 2}


def test_a_file_that_can_not_be_read_is_forgotten_too() -> None:
    tuned()
    Path(paths.config_dir() / "tuned.json").write_bytes(b"[]")
    assert tuned_arguments.forget()
    assert not tuned_arguments.forget()


def test_the_choice_has_what_was_found_here_and_one_for_a_machine_elsewhere_has_not() -> None:
    elsewhere = imagined_machine("RTX 4060")
    here = HostFacts(elsewhere.host, elsewhere.gpu, here=True)
    request = LaunchRequest(model="qwen2.5-coder-7b", offline=False)
    planned = choose(request, elsewhere).plan
    value = planned.argument("max_num_batched_tokens")
    better = planned.with_arguments([Argument("max_num_batched_tokens", 999, "")])
    known = tuned_arguments.found(Tuned(), planned, better, 1.2)
    tuned_arguments.remember(planned, elsewhere.host, known)
    assert choose(request, elsewhere).plan.argument("max_num_batched_tokens") == value
    startable = [p for p in choose(request, here).startable if p.model.id == planned.model.id]
    for plan in startable:
        assert plan.argument("max_num_batched_tokens") == 999
