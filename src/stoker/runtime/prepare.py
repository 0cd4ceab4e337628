"""Turn what is there into a plan whose model is on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stoker import models
from stoker.errors import StokerError
from stoker.host import Host
from stoker.models import Model, Progress
from stoker.planning import Plan


def prepare(plan: Plan, on_progress: Callable[[Progress], None]) -> Plan:
    """The plan with its model fetched. Raises ``StokerError`` where it can't be had."""
    if plan.model.path is not None:
        return plan
    return replace(plan, model=models.fetch(plan.model, on_progress))


def choose_and_prepare(
    host: Host,
    candidates: Sequence[Model],
    choose: Callable[[Host, Sequence[Model]], Plan],
    on_plan: Callable[[Plan], None],
    on_progress: Callable[[Progress], None],
    on_skip: Callable[[Model, StokerError], None],
) -> Plan:
    """The best plan whose model can really be had: a source that fails gives way to the next.

    Raises the first source's error where none can be had.
    """
    left = list(candidates)
    first_error: StokerError | None = None
    while left:
        try:
            plan = choose(host, left)
        except StokerError as error:
            raise first_error or error from None
        on_plan(plan)
        try:
            return prepare(plan, on_progress)
        except StokerError as error:
            first_error = first_error or error
            on_skip(plan.model, error)
            left = [m for m in left if m != plan.model]
    raise first_error or StokerError("There is no model to choose from.")
