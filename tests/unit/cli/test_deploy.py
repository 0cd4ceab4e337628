"""``stoker deploy``: files in a folder, their reasons, what was changed, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.deployment_sites import PLANS

from stoker.cli import main

pytestmark = pytest.mark.usefixtures("home")

Run = Callable[..., tuple[int, str, str]]
H100 = str(PLANS / "h100.json")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_it(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["stoker", "deploy", *arguments])
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code
        return (code or 0, *capsys.readouterr())

    return run_it


@pytest.mark.parametrize("format_name", ["compose", "systemd", "quadlet"])
def test_writes_files_and_prints_what_to_type_next(
    run: Run, tmp_path: Path, format_name: str
) -> None:
    out = tmp_path / "site"
    code, printed, _ = run(format_name, "--from", H100, "--replicas", "2", "-o", str(out))
    assert code == 0
    assert "2 replicas of Qwen/Qwen3.8-27B-FP8 on 2 GPUs, 2 gateways" in printed
    assert "./make-secrets.sh" in printed
    assert (out / "make-secrets.sh").stat().st_mode & 0o111
    assert run("diff", str(out))[:2] == (0, "Nothing was changed.\n")


def test_json_lists_the_files_with_their_reasons(run: Run, tmp_path: Path) -> None:
    code, printed, _ = run("compose", "--from", H100, "-o", str(tmp_path / "site"), "--json")
    document = json.loads(printed)
    assert code == 0
    assert document["gpus"] == 1
    compose = next(f for f in document["files"] if f["path"] == "compose.yaml")
    assert {"line": "cap_drop: [ALL]", "reason": "it needs none of root's powers"} in compose[
        "reasons"
    ]


def test_explain_shows_the_reasons_and_writes_nothing_without_a_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, _ = run("compose", "--from", H100, "--explain")
    assert code == 0
    assert "compose.yaml\n" in printed
    assert "  read_only: true\n      nothing inside is written" in printed
    assert not (tmp_path / "compose.yaml").exists()


def test_diff_shows_what_was_changed_and_exits_with_1(run: Run, tmp_path: Path) -> None:
    run("compose", "--from", H100, "-o", str(tmp_path / "site"))
    compose = tmp_path / "site/compose.yaml"
    compose.write_text(compose.read_text().replace("127.0.0.1:8000:8080", "0.0.0.0:80:8080"))
    code, printed, _ = run("diff", str(tmp_path / "site"))
    assert code == 1
    assert '-      - "127.0.0.1:8000:8080"\n+      - "0.0.0.0:80:8080"' in printed
    code, printed, _ = run("diff", str(tmp_path / "site"), "--json")
    assert code == 1
    assert [change["path"] for change in json.loads(printed)["changes"]] == ["compose.yaml"]


@pytest.mark.parametrize(
    ("path", "edit", "words"),
    [
        ("upgrade.sh", lambda text: text.replace(b"\n", b"\r\n"), "has the line ends of Windows"),
        ("compose.yaml", lambda text: text.rstrip(), "compose.yaml differs at its end"),
        ("compose.override.yaml", lambda _text: b"x", "compose.override.yaml was added"),
        ("upgrade.sh", None, "upgrade.sh was removed"),
    ],
)
def test_diff_names_changes_that_no_line_shows(
    run: Run, tmp_path: Path, path: str, edit: Callable[[bytes], bytes] | None, words: str
) -> None:
    run("compose", "--from", H100, "-o", str(tmp_path / "site"))
    file = tmp_path / "site" / path
    if edit is None:
        file.unlink()
    else:
        file.write_bytes(edit(file.read_bytes() if file.exists() else b""))
    code, printed, _ = run("diff", str(tmp_path / "site"))
    assert code == 1
    assert words in printed


def test_chooses_a_plan_for_an_imagined_machine(run: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "site")
    options = ("--gpu", "H100", "--gpus", "2", "--replicas", "2", "--users", "20")
    code, printed, error = run("compose", *options, "-o", out)
    assert code == 0, error
    assert "2 replicas" in printed
    record = json.loads((tmp_path / "site/stoker-deploy.json").read_text())
    assert record["plan"]["gpus"] == 1
    assert record["machine_gpus"] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nomad", "-o", "x"], "no deployment format called 'nomad'"),
        (["compose"], "No folder is named"),
        (["compose", "--from", "missing.json", "-o", "x"], "missing.json can't be read"),
        (["compose", "--from", H100, "-o", "x", "--image", "redis"], "names no image"),
        (["compose", "--from", H100, "-o", "x", "--image", "mysql=a:1"], "names no image"),
        (["compose", "--from", H100, "-o", "x", "--name", "A B"], "can't be the name of a site"),
        (["compose", "--gpu", "H100", "--replicas", "2", "-o", "x"], "replicas do not fit"),
        (["diff", "x"], "holds no deployment"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, error = run(*arguments)
    assert code == 2
    assert words in error
    assert printed == ""
    assert not (tmp_path / "x").exists()


def test_folder_that_is_not_empty_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    code, _, error = run("compose", "--from", H100, "-o", str(tmp_path))
    assert code == 2
    assert "is not empty" in error


def test_nothing_that_fits_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    model = ("moonshotai/Kimi-K2.7-Code", "--gpu", "RTX 4060 8GB")
    code, _, error = run("compose", *model, "-o", str(tmp_path / "site"))
    assert code == 1
    assert "Error:" in error
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("format_name", ["compose", "systemd", "quadlet", "kubernetes", "helm"])
def test_the_commands_of_its_page_write_the_same_site_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    out = tmp_path / "site"
    options = "--replicas 3 --users 40 --name coding --bind 0.0.0.0 --port 8443 --no-monitoring"
    options += " --tls-host llm.example.com --image postgres=registry.example.com/postgres:17"
    options += " --cluster namespace=llm --cluster max_replicas=6"
    assert run(format_name, "--from", H100, *options.split(), "-o", str(out))[0] == 0
    before = _content(out)
    page = (out / "README.md").read_text(encoding="utf-8")
    command = next(line for line in page.splitlines() if line.startswith("stoker deploy"))
    monkeypatch.chdir(out)
    (out / "NEW-PLAN.json").write_text(Path(H100).read_text(encoding="utf-8"), encoding="utf-8")
    assert run(*command.split()[2:])[0] == 0
    (out / "NEW-PLAN.json").unlink()
    assert _content(out) == before


def _content(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8")
        for file in folder.rglob("*")
        if file.is_file()
    }
