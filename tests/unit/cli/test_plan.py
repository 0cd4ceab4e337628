"""``stoker plan``: for machines that are only imagined, as a table, as JSON and as a page."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stoker.cli import app
from stoker.errors import StokerError, UsageError


@pytest.fixture(autouse=True)
def _terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> StokerError:
    with pytest.raises(StokerError) as caught:
        CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)
    return caught.value


def first(*arguments: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(run(*arguments, "--json"))["plans"][0]
    return plan


def test_the_table_reads_well_in_80_columns() -> None:
    printed = run("--gpu", "RTX 3090", "--gpus", "2", "--explain")
    assert max(map(len, printed.splitlines())) <= 80
    for words in ("2 x RTX 3090 24GB", "weights", "KV cache", "free", "tensor_parallel_size"):
        assert words in printed


def test_json_has_numbers_with_units_and_every_reason() -> None:
    plan = first("qwen2.5-coder-7b", "--gpu", "RTX 4060 8GB")
    assert plan["engine"] == "vllm"
    assert plan["model"]["id"] == "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
    assert plan["memory"]["weights_bytes"] > 5 * 1024**3
    token_s = plan["speed"]["token_s"]
    assert token_s["low"] < token_s["expected"] < token_s["high"]
    assert all(argument["reason"] for argument in plan["arguments"])


def test_a_variant_named_by_its_id_is_the_only_one_planned() -> None:
    plan = first("Qwen/Qwen2.5-Coder-7B-Instruct-GGUF", "--gpu", "RTX 4060 8GB")
    assert plan["engine"] == "llama.cpp"


def test_more_users_get_a_cache_for_more_requests() -> None:
    few = first("qwen3-coder-30b-a3b", "--gpu", "H100", "--users", "3")
    many = first("qwen3-coder-30b-a3b", "--gpu", "H100", "--users", "90")
    assert many["parallel"] > few["parallel"]
    assert many["speed"]["concurrency"] == 30


def test_the_page_stands_alone_and_escapes_what_it_shows(tmp_path: Path) -> None:
    page = tmp_path / "plan.html"
    run("--gpu", "RTX 4090", "--html", str(page))
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "<script" not in text
    assert "http" not in text
    assert "KV cache" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--gpu", "RTX 4160"), "RTX 4060"),
        (("qwen2.5-coder-8b", "--gpu", "H100"), "qwen2.5-coder-7b"),
        (("--gpu", "H100", "--users", "0"), "between 1 and"),
        (("--gpu", "H100", "--context", "99999999999"), "between 512 and"),
        (("--gpu", "H100", "--context", "1"), "between 512 and"),
        (("qwen2.5-coder-7b", "--gpu", "H100", "--context", "1000000"), "at most 32,768"),
        (("--gpu", "H100", "--engine", "sglang"), "vllm, llama.cpp, ollama"),
        (("--gpu", "M3 Max"), "64GB"),
        (("nvidia/Qwen3.6-27B-NVFP4", "--gpu", "RTX 2080 Ti"), "nvfp4"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(
    arguments: tuple[str, ...], named: str
) -> None:
    problem = refused(*arguments)
    assert isinstance(problem, UsageError)
    assert named in f"{problem.why} {problem.fix}"


def test_a_model_that_is_too_large_is_refused_with_its_size() -> None:
    problem = refused("qwen3.5-397b-a17b", "--gpu", "RTX 4060 8GB")
    assert problem.exit_code == 1
    assert "GiB" in problem.why


def test_gpus_that_the_heads_cannot_use_take_layers_instead() -> None:
    plan = first(
        "qwen2.5-coder-32b", "--gpu", "RTX 4060 Ti 16GB", "--gpus", "3", "--engine", "vllm"
    )
    arguments = {a["name"]: a["value"] for a in plan["arguments"]}
    assert plan["gpus"] in (2, 3)
    assert (
        arguments["tensor_parallel_size"] * arguments.get("pipeline_parallel_size", 1)
        == plan["gpus"]
    )


def test_a_model_for_which_two_of_three_gpus_are_too_few_gets_three_stages() -> None:
    plan = first(
        "Qwen/Qwen2.5-Coder-32B-Instruct-GPTQ-Int8",
        "--gpu",
        "RTX 4060 Ti 16GB",
        "--gpus",
        "3",
        "--purpose",
        "chat",
    )
    arguments = {a["name"]: a["value"] for a in plan["arguments"]}
    assert (arguments["tensor_parallel_size"], arguments["pipeline_parallel_size"]) == (1, 3)


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ((), "stoker up"),
        (("qwen2.5-coder-7b", "--context", "8192"), "stoker up qwen2.5-coder-7b --context=8192"),
        (("--purpose", "chat", "--users", "3"), "stoker up --purpose=chat --users=3"),
    ],
)
def test_the_command_that_starts_a_plan_asks_for_the_same(
    options: tuple[str, ...], command: str
) -> None:
    assert f"Start it there: {command}\n" in run("--gpu", "RTX 4090", *options)


def test_more_users_than_a_machine_can_serve_are_refused_with_how_many_it_would() -> None:
    problem = refused("--gpu", "RTX 4060 8GB", "--users", "500")
    assert "500 users" in problem.what
    assert "It would do for about" in problem.fix


def test_a_plan_for_ollama_prints_the_settings_and_the_commands() -> None:
    printed = run("qwen2.5-coder-7b", "--gpu", "RTX 4060 8GB", "--engine", "ollama")
    assert max(map(len, printed.splitlines())) <= 80
    for words in ("OLLAMA_CONTEXT_LENGTH", "OLLAMA_KV_CACHE_TYPE", "num_gpu", "ollama pull hf.co/"):
        assert words in printed


def test_up_does_not_start_ollama_and_prints_how_to_use_it() -> None:
    with pytest.raises(UsageError, match="does not start") as caught:
        CliRunner().invoke(app, ["up", "--engine", "ollama"], catch_exceptions=False)
    assert "stoker adopt" in caught.value.fix


CONFIG = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"num_key_value_heads": 5}, "contradicts itself"),
        ({"num_hidden_layers": None}, "lacks num_hidden_layers"),
        ({"hidden_size": "big"}, "hidden_size as 'big'"),
        ({}, "do not hold the model"),
    ],
)
def test_a_folder_whose_files_contradict_each_other_is_refused(
    tmp_path: Path, changed: dict[str, Any], expected: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    config = {name: value for name, value in (CONFIG | changed).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    tensor = {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]}
    header = json.dumps({"model.embed_tokens.weight": tensor}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(32))
    problem = refused(str(folder), "--gpu", "RTX 4090")
    assert expected in problem.what
    assert problem.fix


@pytest.mark.parametrize(
    ("name", "expected"), [("/no/such/model.gguf", "no file or folder"), ("", "no model ''")]
)
def test_a_path_that_leads_nowhere_is_no_model_of_the_catalogue(name: str, expected: str) -> None:
    assert expected in refused(name, "--gpu", "RTX 4090").what


@pytest.mark.parametrize(
    "arguments",
    [("--gpus", "2"), ("--gpu", "M4 Max 64GB", "--gpus", "4")],
    ids=["of which GPU", "one with its processor"],
)
def test_a_number_of_gpus_that_cannot_be_is_refused(arguments: tuple[str, ...]) -> None:
    assert "--gpus" in refused(*arguments).fix


def test_a_context_under_1024_is_written_out() -> None:
    assert " 512 " in run("qwen2.5-coder-7b", "--gpu", "RTX 4090", "--context", "512")
