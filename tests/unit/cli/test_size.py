"""``stoker size``: bad input gets a message, and an answer is the same in every form."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support import deployment_sites
from tests.support.generators import returned

from stoker.application import capacity, deployment_site
from stoker.application.capacity import CapacityReport, SizingProgress, size
from stoker.application.capacity_deployment import deployment_of
from stoker.application.capacity_request import CapacityRequest, GpuWish
from stoker.cli import main
from stoker.cli.render import size_page, size_view
from stoker.deploy import SiteRequest
from stoker.errors import StokerError, UsageError
from stoker.host import find_gpu
from stoker.sizing.cost import GpuServer
from stoker.sizing.search import Targets

pytestmark = pytest.mark.usefixtures("home")

#: One GPU and one model: little to compare, so that a test takes a second.
SMALL = ["--developers", "12", "--gpu", "RTX PRO 6000 Blackwell:1", "--model", "qwen3.8-27b"]
GOLDEN = Path(__file__).parents[2] / "fixtures" / "sizes" / "12-developers.txt"
HEADER = "arrived_s,path,prompt_tokens,cached_tokens,completion_tokens,status,session\n"


def run(
    *arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """The exit code, and what was printed to standard output and standard error."""
    monkeypatch.setattr("sys.argv", ["stoker", "size", *arguments])
    try:
        main()
        code: Any = 0
    except SystemExit as end:
        code = end.code
    return (code, *capsys.readouterr())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--developers", "0"], "--developers 0 is out of range"),
        (["--developers", "-3"], "--developers -3 is out of range"),
        (["--developers", "9999999"], "between 1 and 100,000"),
        (["--developers", "5", "--active", "0"], "--active 0 is out of range"),
        (["--developers", "5", "--active", "nan"], "--active nan is out of range"),
        (["--developers", "5", "--growth", "0"], "--growth 0 is out of range"),
        (["--developers", "5", "--growth", "nan"], "--growth nan is out of range"),
        (["--developers", "90000", "--growth", "3"], "times --growth 270,000 is out of range"),
        (["--developers", "5", "--spare", "-1"], "--spare -1 is out of range"),
        (["--developers", "5", "--context", "10"], "--context 10 is out of range"),
        (["--developers", "5", "--mix", "agent=0.5,chat=0.6"], "adds up to 1.1"),
        (["--developers", "5", "--mix", "agent=1,agent=0"], "can't be read at 'agent=0'"),
        (["--developers", "5", "--mix", "agents=1"], "can't be read at 'agents=1'"),
        (["--developers", "5", "--mix", "agent=-1,chat=2"], "can't be read at 'agent=-1'"),
        (["--developers", "5", "--mix", ""], "can't be read"),
        (["--developers", "5", "--slo", "ttft=2"], "can't be read at 'ttft=2'"),
        (["--developers", "5", "--slo", "p99=2s"], "can't be read at 'p99=2s'"),
        (["--developers", "5", "--slo", "ttft=0s"], "--slo ttft 0 s is out of range"),
        (["--developers", "5", "--slo", "ttft=-1s"], "--slo ttft -1 s is out of range"),
        (["--developers", "5", "--slo", "tpot=nanms"], "--slo tpot nan s is out of range"),
        (["--developers", "5", "--gpu", "H100:0"], "names no number of GPUs"),
        (["--developers", "5", "--gpu", "H100:many"], "names no number of GPUs"),
        (["--developers", "5", "--gpu", "Voodoo 2"], "There is no GPU 'Voodoo 2'"),
        (["--developers", "5", "--quality", "1000"], "--quality 1,000 is out of range"),
        (["--developers", "5", "--quality", "nan"], "--quality nan is out of range"),
        (["--developers", "5", "--html", "/nowhere/a.html"], "can't write /nowhere/a.html"),
        (["--developers", "5", "--key-env", "KEY"], "--key-env is for --calibrate"),
        (["--developers", "5", "--json", "--csv"], "can't be used together"),
        (["--developers", "5", "--prices", "/nowhere.toml"], "can't be read"),
        (["--developers", "5", "--trace", "/nowhere.csv"], "can't be read"),
        (["--developers", "5", "--calibrate", "http://127.0.0.1:1"], "needs to know what runs"),
    ],
)
def test_input_that_cannot_be_meant_is_refused_with_a_reason(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, printed, errors = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert words in printed + errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("", "has no answered request"),
        ("0,/v1/chat/completions,100,0,10,200,a\n" * 3, "too short for sizing"),
        ("-5,/v1/chat/completions,100,0,10,200,a\n", "line 2: arrived_s"),
        ("0,/v1/chat/completions,ten,0,10,200,a\n", "line 2: prompt_tokens"),
        ("inf,/v1/chat/completions,10,0,10,200,a\n", "line 2: arrived_s"),
    ],
)
def test_a_trace_that_nothing_can_be_sized_by_is_refused(
    rows: str,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(HEADER + rows)
    code, _, errors = run(*SMALL, "--trace", str(path), capsys=capsys, monkeypatch=monkeypatch)
    assert code in (1, 2)
    assert words in errors


def test_prices_that_are_no_toml_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text("electricity = = 1")
    code, _, errors = run(*SMALL, "--prices", str(path), capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert "is not a TOML file" in errors


def test_a_target_that_nothing_meets_names_the_nearest_and_its_cost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = ["--slo", "tpot=1ms"]
    code, _, errors = run(*SMALL, *impossible, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 1
    assert "No hardware that was compared keeps these targets" in errors
    assert re.search(r"Nearest: .*\$[\d,]+ a month: .* ms a token \(target 1 ms\)", errors)


def test_what_has_no_price_is_not_ranked_and_the_way_out_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--developers", "5", "--gpu", "H100:2", "--model", "qwen3.8-27b"]
    code, _, errors = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 1
    assert "no server with 2 of it is in the price list" in errors
    assert "--rented" in errors


def sized(report: CapacityReport) -> Generator[SizingProgress, None, CapacityReport]:
    """As ``size``, with an answer that is known."""
    yield SizingProgress(1.0, "done")
    return report


@pytest.fixture(scope="module")
def report() -> CapacityReport:
    """One answer for all tests that look at one."""
    gpu = GpuWish("RTX PRO 6000 Blackwell", 1)
    return returned(size(CapacityRequest(developers=12, gpus=(gpu,), model="qwen3.8-27b")))


def test_the_answer_keeps_its_targets_and_adds_up(report: CapacityReport) -> None:
    found = size_view.document(report)
    best, cost = found["recommendation"], found["cost"]
    assert best["first_token_p95_s"] <= found["targets"]["first_token_s"]
    assert best["token_p95_s"] <= found["targets"]["token_s"]
    assert best["servers"] == best["servers_needed"] + found["targets"]["spare_servers"]
    parts = cost["hardware_usd"] + cost["electricity_usd"] + cost["rack_usd"]
    assert cost["total_usd"] == pytest.approx(parts)
    assert cost["usd_per_developer"] == pytest.approx(cost["total_usd"] / 12)
    servers = [point["servers"] for point in found["developers_to_cost"]]
    assert servers == sorted(servers)
    json.dumps(found)


def test_a_known_case_gets_the_answer_that_was_reviewed(report: CapacityReport) -> None:
    """``STOKER_WRITE_GOLDEN=1`` writes the file again: look at the difference."""
    text = "".join(f"{line}\n" for line in size_view.lines(report))
    if os.environ.get("STOKER_WRITE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_page_needs_nothing_from_elsewhere(report: CapacityReport) -> None:
    html = size_page.render(report)
    assert not re.search(r"<(script|link|img|iframe)|src=|@import|url\((?!#)", html)
    assert f"${report.cost.total_usd:,.0f}" in html
    assert html.count("<svg") == 4
    assert "prefers-color-scheme" in html
    assert "PCIe server, dollars" in html


def test_the_text_fits_80_columns_and_names_its_numbers(report: CapacityReport) -> None:
    lines = list(size_view.lines(report))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    assert f"${report.cost.total_usd:,.0f} a month" in text
    for name in ("Recommended", "Runner-up", "Breaks first", "How sure", "Phase 1"):
        assert name in text


def test_a_gpu_that_is_sold_in_eights_only_is_named_with_its_rent(report: CapacityReport) -> None:
    gpu = find_gpu("H200")
    assert gpu.rent is not None
    left_out = replace(report.best.option, server=GpuServer(gpu, 1))
    unpriced = replace(report.search, unpriced=(left_out,))
    bought = size_view.notes(replace(report, search=unpriced))
    month = gpu.rent.usd_per_hour * 365.25 * 24 / 12
    (note,) = (note for note in bought if "rented" in note)
    assert f"${month:,.0f} a month" in note
    assert gpu.rent.date in note
    assert "--rented" in note
    request = replace(report.request, terms="rented")
    rented = size_view.notes(replace(report, search=unpriced, request=request))
    assert not any("--rented" in note for note in rented)


def test_the_table_has_what_was_compared(report: CapacityReport) -> None:
    rows = list(csv.DictReader(io.StringIO(size_view.table(report))))
    assert rows[0]["result"] == "keeps the targets"
    assert float(rows[0]["usd_per_month"]) == report.best.usd_per_month
    assert int(rows[0]["servers"]) == int(rows[0]["servers_needed"]) + 1


def test_the_same_request_gets_the_same_answer_and_a_grown_team_never_pays_less() -> None:
    def cost(growth: float, token_s: float = 0.05) -> float:
        wanted = CapacityRequest(
            developers=10,
            growth=growth,
            targets=Targets(2.0, token_s),
            gpus=(GpuWish("L40S", 2),),
            model="Qwen/Qwen3.8-27B-FP8",
        )
        best = capacity.compare(wanted)[1].best
        assert best is not None
        return best.usd_per_month

    assert cost(1) == cost(1)
    assert cost(1) <= cost(8)
    assert cost(8) <= cost(8, token_s=0.04)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "helm"], "--format is for --deploy"),
        (["--deploy", "site", "--format", "nomad"], "no deployment format called 'nomad'"),
        (["--deploy", "full"], "is not empty"),
        (["--deploy", "file"], "is a file"),
        (["--deploy", "deployed"], "holds a deployment"),
    ],
)
def test_a_deployment_that_cannot_be_written_is_refused_before_the_simulation(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("full").mkdir()
    Path("full/mine").write_text("")
    Path("file").write_text("")
    record = deployment_sites.record("h100", "compose")
    deployment_site.write(record, deployment_site.rendered(record), Path("deployed"))
    monkeypatch.setattr(capacity, "size", lambda *_: pytest.fail("it was simulated"))
    code, _, errors = run(*SMALL, *arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert words in errors


def test_the_recommended_servers_become_a_deployment(
    report: CapacityReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "size", lambda _: sized(report))
    out = tmp_path / "site"
    arguments = [*SMALL, "--deploy", str(out)]
    code, printed, errors = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0, errors
    assert f"Written to {out}: 2 replicas of Qwen/Qwen3.8-27B-FP8 on 2 GPUs" in printed
    assert "kubectl apply -k ." in printed
    assert f"--from {out}/stoker-deploy.json --replicas 2 --users 12 --replace" in printed
    record = deployment_site.read_record(out)
    assert record is not None
    assert deployment_site.plan_in(out / deployment_site.RECORD) == record.plan
    assert record.plan.arguments == report.best.option.plan.arguments
    assert (record.request.format, record.request.replicas, record.request.users) == (
        "kubernetes",
        2,
        12,
    )


def test_a_deployment_is_in_the_json_and_its_format_can_be_chosen(
    report: CapacityReport,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "size", lambda _: sized(report))
    arguments = [*SMALL, "--deploy", str(tmp_path / "chart"), "--format", "helm", "--json"]
    code, printed, errors = run(*arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 0, errors
    deployment = json.loads(printed)["deployment"]
    assert deployment["format"] == "helm"
    assert deployment["replicas"] == 2
    assert (tmp_path / "chart/Chart.yaml").exists()


def test_one_server_is_deployed_with_compose_and_several_are_not(report: CapacityReport) -> None:
    one = replace(report, best=replace(report.best, servers=1))
    assert deployment_of(one) == SiteRequest("compose", replicas=1, users=12)
    assert deployment_of(one, "quadlet").format == "quadlet"
    with pytest.raises(UsageError, match="2 servers, and compose is for one machine") as refused:
        deployment_of(report, "compose")
    assert "--spare 0" in refused.value.fix


def test_a_fleet_beyond_one_deployment_is_refused(report: CapacityReport) -> None:
    huge = replace(report, best=replace(report.best, servers=65))
    with pytest.raises(StokerError, match="65 copies of the model, and one deployment has 64"):
        deployment_of(huge)
