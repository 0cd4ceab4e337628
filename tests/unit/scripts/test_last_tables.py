"""Tables that benchmarks write, as the docs show them."""

from __future__ import annotations

import re
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


def test_a_row_with_a_cell_too_many_is_refused(tables: Path) -> None:
    with pytest.raises(ValueError, match="mine"):
        last_runs.record_table("mine", ("a", "b"), [("1", "2", "3")])
    assert tables.read_text(encoding="utf-8") == OLD


def test_a_program_that_printed_no_table_replaces_none(tmp_path: Path) -> None:
    script, file = _copied(tmp_path)
    command = [sys.executable, str(script), "--table", "other"]
    done = subprocess.run(command, input="it failed\n", text=True, check=False)
    assert done.returncode != 0
    assert file.read_text(encoding="utf-8") == OLD


def test_a_table_is_read_from_what_another_program_prints(tmp_path: Path) -> None:
    script, file = _copied(tmp_path)
    printed = "warming up\n\x1b[22m\x1b[39m| a |\n| --- |\n| 1 |\ndone\n"
    command = [sys.executable, str(script), "--table", "mine"]
    subprocess.run(command, input=printed, text=True, check=True)
    found = tomllib.loads(file.read_text(encoding="utf-8"))["mine"]
    assert found["rows"] == "| a |\n| --- |\n| 1 |\n"


def test_a_table_is_written_by_a_benchmark_or_marked_as_by_hand() -> None:
    root = Path(last_runs.__file__).parent.parent
    files = [*root.glob("benchmarks/*.py"), *root.glob("extension/benchmarks/*.ts")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    written = set(re.findall(r'record_table\(\s*"(\w+)"|--table ([a-z]\w+)', text))
    names = {record or piped for record, piped in written}
    tables = tomllib.loads(last_runs.TABLES.read_text(encoding="utf-8"))
    assert {name for name, table in tables.items() if not table.get("by_hand")} == names


def _copied(folder: Path) -> tuple[Path, Path]:
    """A copy of the script, and the tables that it writes."""
    script, file = folder / "last_runs.py", folder / "data" / "last_tables.toml"
    script.write_text(Path(last_runs.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    file.parent.mkdir()
    file.write_text(OLD, encoding="utf-8")
    return script, file
