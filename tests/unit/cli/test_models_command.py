"""``stoker models`` fits a terminal, filters, sorts and adds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stoker.cli import app
from stoker.errors import UsageError

CONFIGS = Path(__file__).parents[2] / "fixtures" / "hf_configs"
RUN = CliRunner()


@pytest.fixture(autouse=True)
def _terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_list_reads_in_80_columns() -> None:
    shown = RUN.invoke(app, ["models"])
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert any("qwen2.5-coder-7b" in line and "Apache-2.0" in line for line in lines)
    assert max(len(line) for line in lines) <= 80
    assert "…" not in "".join(line[:30] for line in lines)


def test_json_gives_every_fact_and_the_purpose_filters() -> None:
    shown = RUN.invoke(app, ["models", "--purpose", "completion", "--json"])
    found = json.loads(shown.output)
    assert found
    assert all("completion" in model["purposes"] for model in found)
    assert all(model["sources"]["config"] and model["architecture"] for model in found)


def test_sorting_by_size_starts_with_the_smallest() -> None:
    shown = json.loads(RUN.invoke(app, ["models", "--sort", "size", "--json"]).output)
    sizes = [model["parameters"] for model in shown]
    assert sizes == sorted(sizes)


def test_a_folder_is_added_and_listed(tmp_path: Path) -> None:
    folder = tmp_path / "My-Model"
    folder.mkdir()
    config = json.loads((CONFIGS / "Qwen--Qwen3-0.6B.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    header = {"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(12))
    added = RUN.invoke(app, ["models", "add", str(folder), "--json"])
    assert added.exit_code == 0, added.output
    assert json.loads(added.output)["added"]["id"] == "My-Model"
    listed = json.loads(RUN.invoke(app, ["models", "--json"]).output)
    assert "my-model" in {model["name"] for model in listed}


def test_a_gpu_shows_what_fits_in_80_columns() -> None:
    shown = RUN.invoke(app, ["models", "--gpu", "RTX 4060 8GB", "--fits"])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0] == "On RTX 4060 8GB, one user:"
    assert any(line.startswith("qwen2.5-coder-7b ") and " AWQ " in line for line in lines)
    assert not any("llama-3.3-70b" in line for line in lines)
    _assert_whole_at_80_columns(lines)


@pytest.mark.parametrize("gpu", ["RTX 4060 8GB", "H100", "Apple M4 Max 64GB", "MI300X"])
def test_no_column_is_cut_for_what_fits_or_does_not(gpu: str) -> None:
    shown = RUN.invoke(app, ["models", "--gpu", gpu])
    assert shown.exit_code == 0, shown.output
    _assert_whole_at_80_columns(shown.output.splitlines())


def _assert_whole_at_80_columns(lines: list[str]) -> None:
    assert max(len(line) for line in lines) <= 80
    assert lines[1].split() == ["Model", "For", "Score", "Weights", "Size", "Context", "Tokens/s"]
    assert not any("…" in line for line in lines)


def test_without_fits_models_that_do_not_fit_are_listed_too() -> None:
    shown = RUN.invoke(app, ["models", "--gpu", "RTX 4060 8GB", "--json"])
    fits = {model["name"]: model["fit"] for model in json.loads(shown.output)}
    assert fits["llama-3.3-70b"] is None
    assert fits["qwen2.5-coder-7b"]["max_model_len"] > 16_000


def test_an_unknown_gpu_is_refused_with_the_nearest_names() -> None:
    shown = RUN.invoke(app, ["models", "--gpu", "RTX 4065"])
    assert isinstance(shown.exception, UsageError)
    assert "RTX 4060" in shown.exception.why
