"""Tables that benchmarks write, as the docs show them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from benchmarks import last_runs

from stoker.data.facts import tomllib

OLD = "# Kept.\n\n[other]\non = 2026-01-01\nmachine = 'a'\nrows = '''\n| x |\n'''\n"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "last_tables.toml"
    file.write_text(OLD, encoding="utf-8")
    monkeypatch.setattr(last_runs, "TABLES", file)
    return file


def test_a_recorded_table_has_its_day_and_its_machine_and_the_others_stay(tables: Path) -> None:
    last_runs.record_table("mine", ("what", "s"), [("a", 1), ("b", 2.5)], "an H200")
    text = tables.read_text(encoding="utf-8")
    assert text.startswith(OLD)
    mine = tomllib.loads(text)["mine"]
    assert mine["on"] == date.today()
    assert mine["machine"] == "an H200"
    assert mine["rows"] == "| what | s |\n| --- | --- |\n| a | 1 |\n| b | 2.5 |\n"


def test_a_second_run_replaces_the_first(tables: Path) -> None:
    last_runs.record_table("mine", ("a",), [("old",)])
    last_runs.record_table("mine", ("a",), [("new",)])
    found = tomllib.loads(tables.read_text(encoding="utf-8"))["mine"]
    assert "new" in found["rows"]
    assert "old" not in found["rows"]
    assert "cores at load" in found["machine"]


def test_a_table_is_read_from_what_another_program_prints(tmp_path: Path) -> None:
    script = tmp_path / "last_runs.py"
    script.write_text(Path(last_runs.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/last_tables.toml").write_text(OLD, encoding="utf-8")
    printed = "warming up\n\x1b[22m\x1b[39m| a |\n| --- |\n| 1 |\ndone\n"
    command = [sys.executable, str(script), "--table", "mine"]
    subprocess.run(command, input=printed, text=True, check=True)
    written = (tmp_path / "data/last_tables.toml").read_text(encoding="utf-8")
    assert tomllib.loads(written)["mine"]["rows"] == "| a |\n| --- |\n| 1 |\n"
