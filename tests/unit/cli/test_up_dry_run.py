"""``stoker up --dry-run`` prints the command with a reason for each flag; it starts nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stoker.cli import main

MODEL = "TheBloke/deepseek-coder-6.7B-instruct-AWQ"


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["stoker", "up", "--dry-run", "--offline", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture(autouse=True)
def _offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_container_for_a_gpu_that_is_not_here_is_explained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, "--gpu", "RTX 4060 8GB", "--json", MODEL)
    assert code == 0
    plan = json.loads(out)
    command = " ".join(plan["argv"])
    assert re.search(r"--publish=127\.0\.0\.1:[1-9]\d+:8000 ", command)
    assert command.startswith("docker run --detach --name=vllm-server ")
    for part in ("--gpus=all", "--ipc=host", f"--model {MODEL}"):
        assert part in command
    assert plan["engine"] == "vllm"
    assert 2048 <= plan["max_model_len"] <= 16384
    explained = {part["name"] for part in plan["arguments"] if len(part["reason"]) > 10}
    for word in plan["argv"]:
        if word.startswith("--"):
            flag = word.partition("=")[0]
            assert (
                flag in explained
                or flag[2:].replace("-", "_") in explained
                or (flag[2:] in explained)
            ), word


def test_engine_argument_of_ones_own_is_in_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out, _ = run(
        capsys, monkeypatch, "--gpu", "RTX 4060 8GB", "--engine-arg", "enforce-eager=true", MODEL
    )
    assert "--enforce-eager" in out
    assert "set with --engine-arg" in out


def test_the_command_of_the_completion_engine_is_shown_beside_the_chats(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ("--gpu", "RTX 4060 8GB", MODEL, "--completion", "qwen2.5-coder-0.5b")
    _, shown, _ = run(capsys, monkeypatch, *both, "--json")
    second = json.loads(shown)["completion_command"]
    assert "vllm-server" in json.loads(shown)["argv"][3]
    assert second["argv"] and second["arguments"] != json.loads(shown)["arguments"]
    _, shown, _ = run(capsys, monkeypatch, *both)
    assert "Would run beside it, to complete code:" in shown
    _, shown, _ = run(capsys, monkeypatch, "--gpu", "RTX 4060 8GB", MODEL, "--json")
    assert json.loads(shown)["completion_command"] is None


def test_gpu_without_dry_run_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["stoker", "up", "--gpu", "RTX 4060 8GB", MODEL])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--dry-run" in capsys.readouterr().err
