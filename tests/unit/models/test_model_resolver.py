"""What a name means, and which sources are offered where."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.generators import returned
from tests.unit.models.test_gguf_file import write_gguf, zeroed

from stoker import models
from stoker.data.facts import load_table
from stoker.errors import StokerError, UsageError
from stoker.models import Model
from stoker.models.gguf_catalogue import entries
from stoker.models.sources import bundled


@pytest.fixture(autouse=True)
def bare_machine(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model anywhere: no cache, no other program, no installed SmolLM2."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(bundled, "path_of", lambda _: None)


def origins(found: list[Model], model_id: str) -> list[str]:
    return [model.origin for model in found if model.id == model_id]


def test_the_hub_comes_before_the_package_index() -> None:
    found = models.candidates(hub_reachable=True)
    assert [m.origin for m in found] == sorted(m.origin for m in found)  # hub < package index
    assert origins(found, "qwen2.5-coder-0.5b") == ["hub", "package index"]
    sizes = [m.parameters or 0 for m in found if m.origin == "hub"]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("reachable", [False, None])
def test_a_hub_that_did_not_answer_is_not_offered(reachable: bool | None) -> None:
    found = models.candidates(hub_reachable=reachable)
    assert {m.origin for m in found} == {"package index"}


def test_offline_and_bare_there_is_nothing() -> None:
    assert models.candidates(hub_reachable=True, offline=True) == []


def test_candidates_have_what_planning_needs_before_a_download() -> None:
    for model in models.candidates(hub_reachable=True):
        assert model.path is None
        assert model.weights_bytes
        assert model.architecture is not None
        assert model.architecture.attention
        assert model.max_context_tokens
        assert (model.hub is None) != (model.package_index is None)


def test_a_licence_that_forbids_commercial_use_is_never_chosen_unasked() -> None:
    assert all(m.license == "Apache-2.0" for m in models.candidates(hub_reachable=True))
    assert models.resolve("qwen2.5-coder-3b")[0].license == "Qwen-Research"


@pytest.mark.parametrize(
    "name",
    [
        "qwen2.5-coder-0.5b",
        "Qwen2.5-Coder-0.5B",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        "qwen/qwen2.5-coder-0.5b-instruct-gguf:Q4_K_M",
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF:qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
    ],
)
def test_a_catalogue_model_has_a_short_name_and_its_hub_id(name: str) -> None:
    assert origins(models.resolve(name), "qwen2.5-coder-0.5b") == ["hub", "package index"]


def test_a_path_is_a_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "Mine.gguf")
    (model,) = models.resolve(str(path))
    assert (model.origin, model.path) == ("file", path)
    assert returned(models.fetch(model)) == model


def test_a_folder_with_one_gguf_is_that_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "Mine.gguf")
    assert models.load(tmp_path).path == path
    write_gguf(tmp_path / "Other.gguf")
    with pytest.raises(StokerError, match="has 2 GGUF models"):
        models.load(tmp_path)


@pytest.mark.parametrize("name", ["./nothing.gguf", "/no/such/model", "nothing.gguf"])
def test_a_path_with_nothing_there_is_reported(name: str) -> None:
    with pytest.raises(StokerError, match="There is no file or folder"):
        models.resolve(name)


def test_an_empty_folder_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StokerError, match="There is no model in") as error:
        models.load(tmp_path)
    assert "GGUF" in error.value.fix


def test_a_typing_mistake_gets_the_nearest_names() -> None:
    with pytest.raises(UsageError, match=r"Did you mean .*qwen2\.5-coder-0\.5b"):
        models.resolve("qwen2.5-codr-0.5b")


def test_a_name_that_is_like_no_other_gets_them_all() -> None:
    with pytest.raises(StokerError, match=r"Some known models: .*smollm2-135m"):
        models.resolve("#")


@pytest.mark.parametrize("name", ["qwen2.5-coder-7b", "qwen2.5-coder-32b", "acme/Any:Q4_K_M"])
def test_offline_a_model_that_is_not_here_is_reported(name: str) -> None:
    with pytest.raises(StokerError, match="is not on this machine"):
        models.resolve(name, offline=True)


def test_the_catalogue_is_consistent() -> None:
    for row, entry in zip(
        sorted(load_table("gguf_models")["model"], key=lambda row: -int(row["size_bytes"])),
        entries(),
        strict=True,
    ):
        assert entry.model.id == row["id"] == row["id"].lower()
        assert len(entry.sha256) == 64
        assert all(url.startswith("https://") for url in row["source"])
        assert entry.hub or entry.package_index
        if entry.package_index:
            assert sum(part.size_bytes for part in entry.package_index.parts) == entry.size_bytes


def test_damaged_file_of_another_program_is_skipped(home: Path) -> None:
    folder = home / ".lmstudio/models/someone/coder"
    folder.mkdir(parents=True)
    zeroed(write_gguf(folder / "zero-coder.gguf"), "attention.head_count")
    write_gguf(folder / "good-coder.gguf")
    found = [m.path.name for m in models.candidates(offline=True) if m.path is not None]
    assert found == ["good-coder.gguf"]


@pytest.mark.parametrize("name", ["a" * 5000, f"./{'a' * 5000}", "a\0b"])
def test_name_that_no_file_can_have_is_an_unknown_one(name: str) -> None:
    with pytest.raises(UsageError, match="There is no"):
        models.resolve(name, offline=True)
