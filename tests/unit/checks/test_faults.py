"""Each fault is caught by the check that should, and by no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.generators import returned
from tests.support.reference_server import KEY, MODEL, WINDOW, ReferenceServer

from stoker.checks import CHECKS, CheckReport, Endpoint, Status, chosen, run

#: Fault -> the check that catches it. Where a fault truly breaks more, all that it breaks.
FAULTS: Mapping[str, str] = {
    "health is 500": "reach.health",
    "wrong key is 403": "reach.wrong-key",
    "chat needs no key": "reach.no-key",
    "unknown path is 200": "reach.unknown-path",
    "closes connections": "reach.connection-reuse",
    "model listed twice": "models.list",
    "list of another shape": "models.shape",
    "any model answers": "models.unknown-model",
    "answers as another model": "models.reply-name",
    "wrong context advertised": "models.context-real",
    "prompt cut silently": "models.context-end",
    "answer is empty": "chat.answers",
    "finish reason missing": "chat.shape",
    "system refused": "chat.system chat.commit-message tools.agent-prompt",
    "earlier turns dropped": "chat.turns",
    "parts are printed": "chat.parts",
    "body read as Latin-1": "chat.unicode",
    "unknown fields refused": "chat.unknown-fields",
    "null refused": "chat.empty-fields",
    "stream is text": "stream.framing",
    "[DONE] missing": "stream.done",
    "events after [DONE]": "stream.done",
    "stream brings no text": "stream.content",
    "role missing": "stream.order",
    "two finish reasons": "stream.order",
    "stream usage missing": "stream.usage",
    "usage unasked": "stream.no-stray-usage",
    "UTF-8 byte lost": "stream.utf8",
    "characters replaced": "stream.utf8",
    "stream is buffered": "stream.pieces",
    "length finishes with stop": "stream.finish-length",
    "bad request streamed": "stream.refusal",
    "one token finishes with stop": "budget.one",
    "over the window is 500": "budget.over-window",
    "overflow is 500": "budget.overflow",
    "zero is endless": "budget.zero",
    "whole window refused": "budget.whole-window",
    "overflow without numbers": "budget.overflow",
    "new name ignored": "budget.new-name",
    "small default": "budget.unset",
    "total does not add up": "usage.adds-up",
    "completion usage off by one": "usage.completion-exact",
    "tokenize off by one": "usage.prompt-exact usage.prompt-exact-tools",
    "tokenize leaves tools out": "usage.prompt-exact-tools",
    "streamed prompt counts differ": "usage.stream-same",
    "call stands in the text": "tools.auto",
    "schema not heeded": "tools.required",
    "named tool not heeded": "tools.named",
    "none is not heeded": "tools.none",
    "tool ids missing": "tools.form",
    "arguments are an object": "tools.form",
    "calls finish with stop": "tools.finish",
    "parallel calls share an id": "tools.parallel",
    "streamed calls finish with stop": "tools.stream",
    "call index missing": "tools.stream",
    "half of the arguments is lost": "tools.stream",
    "results dropped": "tools.round-trip",
    "tools dropped": "tools.reach-model",
    "40 tools refused": "tools.agent-prompt",
    "json_object ignored": "structured.json-object",
    "json_schema ignored": "structured.json-schema",
    "thoughts in the answer": "reasoning.apart reasoning.apart-stream",
    "image dropped": "images.accepted",
    "completions are 500": "completion.answers completion.stream completion.suffix "
    "completion.leave",
    "suffix ignored": "completion.suffix",
    "embeddings are 500": "embeddings.vector",
    "stop in answers ignored": "sampling.stop",
    "stop in streams ignored": "sampling.stop-stream",
    "seed ignored": "sampling.seed",
    "log probabilities above 0": "sampling.logprobs",
    "n ignored": "sampling.n",
    "busy at eight": "load.eight",
    "fails at 32": "load.thirty-two",
    "stream goes on when left": "load.cancel-stream",
    "whole answer goes on when left": "load.cancel-whole",
    "large body is 500": "load.megabyte",
    "error is a text": "errors.format",
    "bad JSON is 500": "errors.bad-json",
    "no messages is 500": "errors.no-messages",
    "types unread": "errors.wrong-type",
}


def report_of(fault: str | None) -> CheckReport:
    """What the checks report of a server with ``fault``.

    The checks of load compare times, so they run only for their own faults and for a server
    without any, whose tokens take so long that work which goes on cannot be missed.
    """
    load = fault is None or FAULTS[fault].startswith("load.")
    window = WINDOW * 2 if fault == "wrong context advertised" else WINDOW
    with ReferenceServer(fault, token_s=0.003 if load else 0.001) as server:
        endpoint = Endpoint(server.url, MODEL, key=KEY, window=window, timeout_s=10, pace_s=0.2)
        return returned(run(endpoint, chosen(skip=() if load else ("load",))))


@pytest.fixture(scope="module")
def reports() -> Mapping[str, CheckReport]:
    """All faults, a few servers at a time: half of their time is waiting."""
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(FAULTS, pool.map(report_of, FAULTS), strict=True))


def failed(report: CheckReport) -> dict[str, str]:
    return {r.check.id: r.seen for r in report.results if r.status is Status.FAILED}


def test_a_server_without_faults_passes_every_check_that_it_supports() -> None:
    report = report_of(None)
    assert failed(report) == {}
    passed = {r.check.id for r in report.results if r.status is Status.PASSED}
    assert len(passed) >= 70
    assert report.good
    docs = Path(__file__).parents[3] / "docs/checking.md"
    documented = re.search(r"about (\d+) requests", docs.read_text(encoding="utf-8"))
    assert documented
    assert abs(report.requests - int(documented[1])) <= 10, report.requests


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_its_check_and_by_no_other(
    reports: Mapping[str, CheckReport], fault: str
) -> None:
    caught = failed(reports[fault])
    assert set(caught) == set(FAULTS[fault].split()), caught


def test_the_faults_are_of_checks_that_exist() -> None:
    caught = {check for caught in FAULTS.values() for check in caught.split()}
    assert caught <= {check.id for check in CHECKS}
    # No fault here: a server that is silent or slow, and what only some engines have.
    assert {check.id for check in CHECKS} - caught == {
        "reach.answers",
        "models.context-advertised",
        "completion.infill",
        "load.one",
    }
