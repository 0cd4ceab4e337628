"""``stoker logs --explain`` names the cause in any engine's log, and keeps the model in its fix."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from stoker.cli import main
from stoker.models import find_known_model
from stoker.planning import MemoryPrediction, Plan
from stoker.server import deployment_state, log_file
from stoker.server.deployment_state import Deployment, LaunchSpec

LINE = "ValueError: the estimated maximum model length is 2224. Try increasing\n"
MODEL = find_known_model("Qwen3-30B-A3B")[0].model()


@pytest.fixture(autouse=True)
def _state_folder(home: Path) -> None:
    deployment_state.state_folder()


def fix(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *source: str) -> str:
    monkeypatch.setattr("sys.argv", ["stoker", "logs", "--explain", "--json", *source])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)["diagnosis"]
    return str(found["fix"])


def test_log_that_powershell_wrote_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(LINE.encode("utf-16"))
    assert "`stoker up MODEL --context 2224 --replace`" in fix(capsys, monkeypatch, str(log))


def test_a_name_that_is_neither_file_nor_container_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stoker", "logs", "--explain", "server.log"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "There is no file server.log here" in capsys.readouterr().err


def test_standard_input_is_read_in_its_own_encoding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINE.encode("utf-16"))))
    assert "--context 2224" in fix(capsys, monkeypatch, "-")


def test_fix_for_stokers_own_log_names_the_model_that_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(MODEL, "vllm", 8192, 4, (), MemoryPrediction(1, 2, 3, 6), gpus=1)
    spec = LaunchSpec(plan, "127.0.0.1", 8000, ("qwen3-30b", ""))
    deployment_state.write(Deployment(spec))
    log_file.path().parent.mkdir(parents=True, exist_ok=True)
    log_file.path().write_text(LINE, encoding="utf-8")
    assert "`stoker up qwen3-30b --context 2224 --replace`" in fix(capsys, monkeypatch)
