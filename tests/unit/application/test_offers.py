"""What is offered for a request, and what a failed source takes away."""

from __future__ import annotations

import pytest

from stoker.application import HostFacts, LaunchRequest, candidates, choose, imagined_machine
from stoker.errors import StokerError

REQUEST = LaunchRequest()


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def machine() -> HostFacts:
    return imagined_machine("RTX 4090")


def origins(request: LaunchRequest, machine: HostFacts) -> set[str]:
    return {offer.candidate.model.origin for offer in candidates(request, machine)}


def test_a_model_that_could_not_be_had_gives_way_to_the_next(machine: HostFacts) -> None:
    first = choose(REQUEST, machine)
    then = choose(REQUEST.without(first.plan.model), machine)
    assert first.runner_up is not None
    assert then.plan.model.id != first.plan.model.id
    assert then.plan.score <= first.plan.score


def test_a_source_that_failed_three_times_is_left_alone(machine: HostFacts) -> None:
    request = REQUEST
    for _ in range(2):
        request = request.without(choose(request, machine).plan.model)
    assert origins(request, machine) == {"hub", "package index"}
    request = request.without(choose(request, machine).plan.model)
    assert origins(request, machine) == {"package index"}


def test_a_named_model_that_could_not_be_had_leaves_nothing(machine: HostFacts) -> None:
    request = LaunchRequest(model="Qwen/Qwen2.5-Coder-7B-Instruct-AWQ")
    failed = request.without(choose(request, machine).plan.model)
    with pytest.raises(StokerError, match="no model to choose from"):
        choose(failed, machine)


def test_offers_have_what_the_catalogue_states_of_them(machine: HostFacts) -> None:
    for offer in candidates(REQUEST, machine):
        assert offer.candidate.known is not None
        assert offer.obstacle is None
