"""Which forms of a model of the catalogue a name means."""

from __future__ import annotations

import pytest

from stoker import models

pytestmark = pytest.mark.usefixtures("home")


def forms(name: str) -> set[tuple[str, str | None]]:
    return {(model.id, model.quantization) for model in models.named(name, here=False)}


def test_a_short_name_means_every_form() -> None:
    known, _ = models.find_known_model("qwen2.5-coder-7b")
    assert {form.id for form in known.weights} < {name for name, _ in forms("qwen2.5-coder-7b")}


@pytest.mark.parametrize(
    "name",
    ["Qwen/Qwen2.5-Coder-7B-Instruct-AWQ", "qwen2.5-coder-7b-instruct-awq"],
)
def test_a_repository_means_its_own_form(name: str) -> None:
    assert forms(name) == {("Qwen/Qwen2.5-Coder-7B-Instruct-AWQ", "awq")}


def test_a_quantization_means_one_file() -> None:
    assert forms("unsloth/Qwen3.6-35B-A3B-GGUF:q4_k_m") == {
        ("unsloth/Qwen3.6-35B-A3B-GGUF", "Q4_K_M")
    }
    assert forms("unsloth/Qwen3.6-35B-A3B-GGUF:Q2_K") == set()


@pytest.mark.parametrize("name", ["", "nobody/nothing", "qwen2.5-coder-8b"])
def test_what_the_catalogue_does_not_know_means_nothing(name: str) -> None:
    assert forms(name) == set()


def test_a_machine_elsewhere_is_offered_every_source_and_no_file_of_this_disk() -> None:
    found = models.offered()
    assert {model.origin for model in found} == {"hub", "package index"}
    assert all(model.path is None for model in found)
