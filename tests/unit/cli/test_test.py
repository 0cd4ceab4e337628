"""``stoker test``: its exit code, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.support.reference_server import KEY, ReferenceServer
from typer.testing import CliRunner

from stoker.cli import app
from stoker.cli.render import html_page

_QUICK = ["--skip", "load"]


@pytest.fixture(autouse=True)
def _key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)


def run(url: str, *args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["test", url, "--key-env", "THE_KEY", *args])
    return result.exit_code, result.output


def test_a_good_endpoint_exits_with_0_and_a_verdict_for_each_use() -> None:
    with ReferenceServer() as server:
        code, printed = run(server.url, "--only", "chat", "--only", "stream")
    assert code == 0
    assert "ok   stream.done" in printed
    assert "not judged" in printed


def test_an_endpoint_that_agent_mode_can_not_use_exits_with_1_and_names_the_fix() -> None:
    with ReferenceServer("tool ids missing") as server:
        code, printed = run(server.url, *_QUICK)
    assert code == 1
    assert "FAIL tools.form" in printed
    assert "Give every call an id" in printed
    assert "agent mode         no: tools.form" in printed


def test_the_results_are_written_as_json_junit_and_a_page(tmp_path: Path) -> None:
    xml, html = tmp_path / "results.xml", tmp_path / "results.html"
    with ReferenceServer("[DONE] missing") as server:
        files = ["--junit", str(xml), "--html", str(html)]
        code, printed = run(server.url, "--json", *files, *_QUICK)
    assert code == 0  # it works, but worse
    report = json.loads(printed)
    by_id = {check["id"]: check for check in report["checks"]}
    assert by_id["stream.done"]["result"] == "fail"
    assert by_id["images.accepted"]["result"] == "not supported"
    suite = ElementTree.fromstring(xml.read_text())[0]  # noqa: S314  (our own file)
    assert suite.get("failures") == "1"
    assert suite.get("tests") == str(len(report["checks"]))
    assert suite.find("testcase[@name='done']/failure") is not None
    assert "<b class=fail>fail</b>" in html.read_text()
    assert KEY not in printed + xml.read_text() + html.read_text()


@pytest.mark.parametrize("only", [[], ["--only", "tools"]])
@pytest.mark.parametrize("key", ["", "not-the-key"], ids=["nothing answers", "key refused"])
def test_an_unreachable_server_is_a_failure_in_every_output_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, only: list[str]
) -> None:
    xml, html = tmp_path / "results.xml", tmp_path / "results.html"
    monkeypatch.setenv("THE_KEY", key or KEY)
    with ReferenceServer() as server:
        url = server.url if key else "http://127.0.0.1:9"
        code, printed = run(url, "--json", "--junit", str(xml), "--html", str(html), *only)
    assert code == 1
    report = json.loads(printed)
    assert not report["good"]
    assert {c["id"] for c in report["checks"] if c["result"] == "fail"} == {"reach.answers"}
    suite = ElementTree.fromstring(xml.read_text())[0]  # noqa: S314  (our own file)
    assert suite.get("failures") == "1"
    failure = suite.find("testcase[@name='answers']/failure")
    assert failure is not None
    assert ("refuses the key in THE_KEY" if key else "Nothing answers") in failure.get(
        "message", ""
    )
    assert "<b class=fail>fail</b>" in html.read_text()


def test_without_json_the_error_is_raised_and_the_file_is_written(tmp_path: Path) -> None:
    xml = tmp_path / "results.xml"
    args = ["test", "http://127.0.0.1:9", "--junit", str(xml)]
    result = CliRunner().invoke(app, args)
    assert "Nothing answers" in str(result.exception)
    assert 'failures="1"' in xml.read_text()


def test_the_page_has_the_frame_of_all_pages(tmp_path: Path) -> None:
    html = tmp_path / "results.html"
    with ReferenceServer() as server:
        run(server.url, "--only", "reach", "--html", str(html))
        title = f"reference at {server.url}"
    assert html.read_text().startswith(
        html_page.document("test", title, "", "").split("</style>")[0]
    )


def test_without_a_url_and_without_a_deployment_the_exit_code_is_2() -> None:
    result = CliRunner().invoke(app, ["test"])
    assert result.exception is not None
    assert getattr(result.exception, "exit_code", None) == 2


def test_the_checks_can_be_listed_without_an_endpoint() -> None:
    result = CliRunner().invoke(app, ["test", "--list", "--only", "tools"])
    assert result.exit_code == 0
    assert "tools.agent-prompt" in result.output
    assert "chat.answers" not in result.output
