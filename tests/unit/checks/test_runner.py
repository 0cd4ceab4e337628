"""What a run of the checks reports, and its verdicts."""

from __future__ import annotations

import pytest
from tests.support.generators import returned
from tests.support.reference_server import KEY, MODEL, WINDOW, ReferenceServer

from stoker import checks
from stoker.checks import CHECKS, CheckReport, Endpoint, Status, Use
from stoker.checks.agent_tools import agent_tools
from stoker.checks.check import Check, Result
from stoker.checks.runner import verdict
from stoker.checks.target import MOST_PROMPT_TOKENS
from stoker.errors import StokerError, UsageError


def results(**outcomes: Status) -> list[Result]:
    """All checks passed, but for those named: ``stream_done`` is ``stream.done``."""
    named = {name.replace("_", ".", 1).replace("_", "-"): s for name, s in outcomes.items()}
    return [Result(check, named.get(check.id, Status.PASSED), "", 0.0) for check in CHECKS]


def run_against(fault: str | None, *only: str) -> CheckReport:
    with ReferenceServer(fault) as server:
        found = checks.look_at(server.url, KEY)
        model, window = checks.choose_model(found, None)
        endpoint = Endpoint(server.url, model, key=KEY, window=window, timeout_s=10, pace_s=0.1)
        return returned(checks.run(endpoint, checks.chosen(only)))


def test_there_are_at_least_45_checks_each_of_its_own_name() -> None:
    assert len(CHECKS) >= 45
    assert len({check.id for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_states_its_promise_the_reason_and_the_fix(check: Check) -> None:
    for text in (check.promise, check.why, check.fix):
        assert text.endswith("."), text
        assert len(text) > 10


def test_agent_tools_are_as_many_and_as_long_as_an_editor_s() -> None:
    import json  # noqa: PLC0415

    tools = agent_tools()
    names = {tool["function"]["name"] for tool in tools}
    assert len(tools) == len(names) == 40
    assert 50_000 < len(json.dumps(tools, separators=(",", ":"))) < 58_000


def test_a_use_works_where_all_that_it_needs_passes() -> None:
    assert verdict(results(), Use.CHAT).word == "good"


def test_a_use_does_not_work_where_what_it_needs_fails_or_is_not_there() -> None:
    for status in (Status.FAILED, Status.UNSUPPORTED):
        found = verdict(results(tools_auto=status), Use.AGENT)
        assert (found.word, found.missing) == ("no", ("tools.auto",))
    assert verdict(results(tools_auto=Status.FAILED), Use.CHAT).word == "good"


def test_a_use_is_limited_where_what_helps_it_fails_but_not_where_it_is_honestly_absent() -> None:
    limited = verdict(results(tools_required=Status.FAILED), Use.AGENT)
    assert (limited.word, limited.missing) == ("limited", ("tools.required",))
    assert verdict(results(tools_required=Status.UNSUPPORTED), Use.AGENT).word == "good"


def test_a_use_is_not_judged_where_what_it_needs_was_left_out() -> None:
    assert verdict(results(stream_framing=Status.SKIPPED), Use.CHAT).word == "not judged"


def test_the_advertised_context_is_found_and_probed() -> None:
    report = run_against("wrong context advertised", "models")
    failed = {r.check.id for r in report.results if r.status is Status.FAILED}
    assert failed == {"models.context-real"}


def test_without_an_advertised_context_what_needs_it_is_not_supported() -> None:
    report = run_against("no context advertised", "models", "budget")
    unsupported = {r.check.id for r in report.results if r.status is Status.UNSUPPORTED}
    assert {"models.context-advertised", "models.context-real", "budget.overflow"} <= unsupported
    assert report.count(Status.FAILED) == 0


def test_a_server_that_does_not_answer_is_asked_once() -> None:
    endpoint = Endpoint("http://127.0.0.1:9", MODEL, timeout_s=1)
    report = returned(checks.run(endpoint))
    assert report.count(Status.FAILED) == 1
    assert report.count(Status.SKIPPED) == len(CHECKS) - 1
    assert not report.good
    assert {v.word for v in report.verdicts.values()} == {"no"}


def test_a_run_ends_when_its_time_is_up_and_reports_it() -> None:
    with ReferenceServer() as server:
        report = returned(checks.run(Endpoint(server.url, MODEL, key=KEY), limit_s=0.0))
    assert report.stopped
    assert report.requests == 0
    assert not report.good


def test_the_cost_of_a_run_is_counted() -> None:
    report = run_against(None, "chat.system")
    assert report.requests == 2
    assert report.completion_tokens == 2
    assert report.prompt_tokens > 20


def test_checks_are_chosen_by_name_or_group() -> None:
    only = {check.id for check in checks.chosen(["stream", "chat.system"], ["stream.done"])}
    assert {"stream.utf8", "chat.system"} <= only
    assert not {"stream.done", "chat.answers"} & only
    with pytest.raises(UsageError, match=r"no check or group called 'strem'"):
        checks.chosen(["strem"])


def test_a_model_that_is_not_served_is_refused_before_any_check_runs() -> None:
    with ReferenceServer() as server:
        found = checks.look_at(server.url, KEY)
        with pytest.raises(UsageError, match="reference"):
            checks.choose_model(found, "another")
        with pytest.raises(StokerError, match="--key-env"):
            checks.look_at(server.url, None)


def test_a_context_whose_reading_was_not_seen_is_no_pass_and_agent_mode_is_not_judged() -> None:
    report = probed(WINDOW, ReferenceServer("long prompts are read for ever"), timeout_s=0.5)
    real = next(r for r in report.results if r.check.id == "models.context-real")
    assert real.status is Status.SKIPPED
    assert "nor read within 0" in real.seen
    assert report.verdicts[Use.AGENT].word == "not judged"
    assert "models.context-real" in report.verdicts[Use.AGENT].missing
    passed = results(models_context_real=Status.SKIPPED)
    assert verdict(passed, Use.AGENT).missing == ("models.context-real",)


def test_no_check_sends_a_longer_prompt_than_windows_in_use_and_what_is_left_out_is_named() -> None:
    server = ReferenceServer("a window without end")
    report = probed(1_000_000, server)
    reported = {r.check.id: (r.status, r.seen) for r in report.results}
    assert reported["models.context-real"][0] is Status.PASSED
    assert "of 1,000,000 tokens were read" in reported["models.context-real"][1]
    assert reported["models.context-real"][1].endswith("longer prompts were not tried")
    for check in ("models.context-end", "budget.overflow"):
        assert reported[check][0] is Status.SKIPPED
        assert "1,200,032 tokens" in reported[check][1]
    assert 150_000 < report.prompt_tokens < 170_000


def test_windows_that_people_run_are_probed_to_their_end() -> None:
    assert Endpoint("http://127.0.0.1:9", MODEL, window=131_072).too_much() <= MOST_PROMPT_TOKENS


def probed(window: int, server: ReferenceServer, timeout_s: float = 30) -> CheckReport:
    with server:
        endpoint = Endpoint(
            server.url, MODEL, key=KEY, window=window, timeout_s=timeout_s, pace_s=0.1
        )
        return returned(checks.run(endpoint, checks.chosen(["models", "budget"])))
