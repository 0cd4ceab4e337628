"""``stoker usage`` sums what was recorded, for people, programs, spreadsheets and sizing."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.usage_rows import USUAL, row
from typer.testing import CliRunner

from stoker.cli import app
from stoker.errors import UsageError
from stoker.usage_records import UsageRow, store_at

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def _nine_hours_ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


def record(*rows: UsageRow) -> None:
    store = store_at("sqlite")
    assert store is not None
    store.write(list(enumerate(rows, 1)))


def usage(*arguments: str) -> str:
    shown = RUN.invoke(app, ["usage", *arguments])
    assert shown.exit_code == 0, shown.output
    return shown.output


def table(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(usage(*arguments))))


def test_table_has_a_row_for_each_owner_and_one_for_all() -> None:
    record(USUAL, row(status=499), row(owner="bob", prompt_tokens=12_345, first_byte_s=None))
    lines = usage().splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["ann", "2", "1", "200", "160", "40", "0", "0.5", "s"],
        ["bob", "1", "0", "12,345", "80", "20", "0"],
        ["all", "3", "1", "12,545", "240", "60", "0"],
    ]
    assert max(map(len, lines)) <= 80


def test_table_shows_a_name_as_it_is_and_obeys_none_of_it() -> None:
    record(row(owner="[red]\x1b[2Jbob"), row(owner="", key_id=""))
    text = usage()
    assert "[red]?[2Jbob" in text
    assert usage("--by", "key").splitlines()[1].split()[0] == "none"


def test_means_are_rounded_to_milliseconds() -> None:
    record(row(total_s=1.0), row(total_s=1.0), row(total_s=2.0))
    assert json.loads(usage("--json"))[0]["total_s"] == 1.333
    assert table("--csv")[0]["total_s"] == "1.333"


def test_json_names_the_day_in_utc() -> None:
    record(USUAL)
    (day,) = json.loads(usage("--by", "day", "--json"))
    assert day["day"] == "2023-11-14"
    assert (day["requests"], day["prompt_tokens"], day["reasoning_tokens"]) == (1, 100, 5)


@pytest.mark.parametrize(
    ("option", "owners"), [("--since", ["new"]), ("--until", ["old"])], ids=["since", "until"]
)
def test_time_is_a_date_or_how_long_ago(option: str, owners: list[str]) -> None:
    record(row(owner="old", arrived_ms=1_000), row(owner="new", arrived_ms=2**40))
    assert [each["owner"] for each in table(option, "2001-01-01", "--csv")] == owners


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone is the system's")
@pytest.mark.usefixtures("_nine_hours_ahead")
@pytest.mark.parametrize("midnight", ["2001-01-01", "2001-01-01 09:00+09:00"])
def test_date_begins_at_midnight_in_utc_as_days_do(midnight: str) -> None:
    at = 978_307_200_000
    record(row(owner="before", arrived_ms=at - 1), row(owner="after", arrived_ms=at))
    assert [each["owner"] for each in table("--since", midnight, "--csv")] == ["after"]


@pytest.mark.parametrize("text", ["yesterday", "0001-01-01 00:00+01:00", "99999999999d"])
def test_time_that_is_none_is_refused(text: str) -> None:
    record(USUAL)
    refused = RUN.invoke(app, ["usage", "--since", text])
    assert isinstance(refused.exception, UsageError)


@pytest.mark.parametrize(
    "owner", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "a,b", 'a"b']
)
def test_no_name_is_run_by_a_spreadsheet(owner: str) -> None:
    record(row(owner=owner))
    (shown,) = (each["owner"] for each in table("--csv"))
    assert shown.removeprefix("'") == owner
    assert not shown.lstrip(" ").startswith(("=", "+", "-", "@", "\t"))


def test_trace_has_numbers_for_names() -> None:
    record(
        row(session="one", arrived_ms=1_500),
        row(owner="bob", session="two", arrived_ms=2_000, completion_tokens=None),
        row(session="one", arrived_ms=3_000),
        row(owner="=bob", arrived_ms=4_000),
    )
    text = usage("--trace")
    assert "ann" not in text and "bob" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(each["owner"], each["session"]) for each in rows] == [
        ("1", "1"),
        ("2", "2"),
        ("1", "1"),
        ("3", ""),
    ]
    assert [each["arrived_s"] for each in rows] == ["1.500", "2.000", "3.000", "4.000"]
    assert [each["completion_tokens"] for each in rows] == ["20", "", "20", "20"]


def test_time_without_requests_is_an_empty_answer_in_every_form() -> None:
    record(USUAL)
    old = ("--until", "2001-01-01")
    assert "No request was recorded" in usage(*old)
    assert json.loads(usage(*old, "--json")) == []
    assert table(*old, "--csv") == []
    assert usage(*old, "--csv").splitlines() == usage("--csv").splitlines()[:1]
    assert table(*old, "--trace") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--csv", "--json"),
        ("--trace", "--json"),
        ("--trace", "--by", "owner"),
        ("--database", "off"),
    ],
)
def test_what_can_not_be_shown_is_refused(arguments: tuple[str, ...]) -> None:
    assert isinstance(RUN.invoke(app, ["usage", *arguments]).exception, UsageError)
