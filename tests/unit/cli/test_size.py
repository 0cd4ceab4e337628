"""``stoker size``: bad input gets a message, and an answer is the same in every form."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stoker.cli import main

pytestmark = pytest.mark.usefixtures("home")

#: One GPU and one model: little to compare, so that a test takes a second.
SMALL = ["--developers", "12", "--gpu", "RTX PRO 6000 Blackwell:1", "--model", "qwen3.8-27b"]
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
        (["--developers", "0"], "--developers 0 makes no sense"),
        (["--developers", "-3"], "--developers -3 makes no sense"),
        (["--developers", "9999999"], "between 1 and 100,000"),
        (["--developers", "5", "--active", "0"], "active share of 0.0"),
        (["--developers", "5", "--active", "nan"], "active share of nan"),
        (["--developers", "5", "--growth", "0"], "--growth 0 makes no sense"),
        (["--developers", "5", "--growth", "nan"], "--growth nan makes no sense"),
        (["--developers", "5", "--spare", "-1"], "--spare -1 makes no sense"),
        (["--developers", "5", "--context", "10"], "--context 10 makes no sense"),
        (["--developers", "5", "--mix", "agent=0.5,chat=0.6"], "adds up to 1.1"),
        (["--developers", "5", "--mix", "agent=1,agent=0"], "can't be read at 'agent=0'"),
        (["--developers", "5", "--mix", "agents=1"], "can't be read at 'agents=1'"),
        (["--developers", "5", "--mix", "agent=-1,chat=2"], "can't be read at 'agent=-1'"),
        (["--developers", "5", "--mix", ""], "can't be read"),
        (["--developers", "5", "--slo", "ttft=2"], "can't be read at 'ttft=2'"),
        (["--developers", "5", "--slo", "p99=2s"], "can't be read at 'p99=2s'"),
        (["--developers", "5", "--slo", "ttft=0s"], "--slo ttft 0 s makes no sense"),
        (["--developers", "5", "--slo", "ttft=-1s"], "--slo ttft -1 s makes no sense"),
        (["--developers", "5", "--slo", "tpot=nanms"], "--slo tpot nan s makes no sense"),
        (["--developers", "5", "--gpu", "H100:0"], "names no number of GPUs"),
        (["--developers", "5", "--gpu", "H100:many"], "names no number of GPUs"),
        (["--developers", "5", "--gpu", "Voodoo 2"], "There is no GPU 'Voodoo 2'"),
        (["--developers", "5", "--quality", "1000"], "No model reaches --quality 1000"),
        (["--developers", "5", "--json", "--csv"], "can't be used together"),
        (["--developers", "5", "--prices", "/nowhere.toml"], "can't be read"),
        (["--developers", "5", "--trace", "/nowhere.csv"], "can't be read"),
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
        ("0,/v1/chat/completions,100,0,10,200,a\n" * 3, "too short to size by"),
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


def test_one_answer_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "size.html"
    code, printed, _ = run(
        *SMALL, "--json", "--html", str(page), capsys=capsys, monkeypatch=monkeypatch
    )
    found = json.loads(printed)
    assert code == 0
    best = found["recommendation"]
    assert best["first_token_p95_s"] <= found["targets"]["first_token_s"]
    assert best["token_p95_s"] <= found["targets"]["token_s"]
    assert best["servers"] == best["servers_needed"] + found["targets"]["spare_servers"]
    cost = found["cost"]
    parts = cost["hardware_usd"] + cost["electricity_usd"] + cost["rack_usd"]
    assert cost["total_usd"] == pytest.approx(parts)
    assert cost["usd_per_developer"] == pytest.approx(cost["total_usd"] / 12)
    developers = [point["servers"] for point in found["developers_to_cost"]]
    assert developers == sorted(developers)
    html = page.read_text()
    assert "http-equiv" not in html
    assert not re.search(r"<(script|link|img)|src=|url\((?!#)", html)
    assert f"${cost['total_usd']:,.0f}" in html
    assert html.count("<svg") == 4


def test_the_table_has_what_was_compared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, printed, _ = run(*SMALL, "--csv", capsys=capsys, monkeypatch=monkeypatch)
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert code == 0
    assert rows[0]["result"] == "keeps the targets"
    assert float(rows[0]["usd_per_month"]) > 0
    assert int(rows[0]["servers"]) == int(rows[0]["servers_needed"]) + 1
