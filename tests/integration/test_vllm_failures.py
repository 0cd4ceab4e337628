"""Failures of real vLLM are named from its real log."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support import vllm_cpu

from stoker import engines
from stoker.engines import Options, ProcessLaunch
from stoker.planning import Plan
from stoker.server.diagnosis import Diagnosis, diagnose
from stoker.server.ports import any_free

pytestmark = pytest.mark.vllm


def failed(plan: Plan, port: int | None = None) -> Diagnosis:
    """Start vLLM as Stoker does, wait for its end, and read its log."""
    python = vllm_cpu.installed().python
    launch = engines.get("vllm").launch(
        plan, port=port or any_free(), key="k", options=Options(python=python)
    )
    assert isinstance(launch, ProcessLaunch)
    done = subprocess.run(
        launch.argv,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "HF_HUB_OFFLINE": "1"}
        | dict(launch.env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    found = diagnose(done.stdout.splitlines(), "vllm")
    assert found is not None, done.stdout[-3000:]
    return found


def changed_model(folder: Path, **config: Any) -> Path:
    """A copy of the model with a changed config.json; the weights are a link."""
    source = vllm_cpu.installed().model
    for file in source.glob("*.json"):
        shutil.copy(file, folder)
    (folder / "model.safetensors").symlink_to(source / "model.safetensors")
    known = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**known, **config}))
    return folder


def test_flag_that_vllm_does_not_know() -> None:
    found = failed(vllm_cpu.plan(no_such_flag=True))
    assert found.id == "flag-unknown"
    assert "--no-such-flag" in found.fix


def test_context_over_the_models_own_is_retried_with_the_limit() -> None:
    found = failed(vllm_cpu.plan(max_model_len=100_000))
    assert found.id == "context-over-model"
    assert found.change is not None
    assert found.change.value == "8192"


def test_context_over_the_cache_is_retried_with_vllms_own_estimate() -> None:
    found = failed(vllm_cpu.plan(max_model_len=8192, kv_cache_memory_bytes=50_000_000))
    assert found.id == "kv-cache-too-small"
    assert found.change is not None
    assert 1000 < int(found.change.value) < 8192


def test_unknown_tool_parser() -> None:
    found = failed(vllm_cpu.plan(enable_auto_tool_choice=True, tool_call_parser="nosuch"))
    assert found.id == "tool-parser-unknown"
    assert "hermes" in found.fix


def test_folder_that_is_no_model(tmp_path: Path) -> None:
    assert failed(vllm_cpu.plan(tmp_path)).id == "model-folder-invalid"


def test_model_that_is_newer_than_the_engine(tmp_path: Path) -> None:
    folder = changed_model(tmp_path, model_type="brandnew9")
    found = failed(vllm_cpu.plan(folder))
    assert found.id == "model-type-unknown"
    assert "brandnew9" in found.fix


def test_architecture_that_vllm_does_not_have(tmp_path: Path) -> None:
    folder = changed_model(tmp_path, architectures=["BrandNew9ForCausalLM"])
    assert failed(vllm_cpu.plan(folder)).id == "architecture-unsupported"


def test_heads_that_can_not_be_shared() -> None:
    found = failed(vllm_cpu.plan(tensor_parallel_size=2))
    assert found.id == "heads-not-divisible"
    assert "9 heads" in found.fix


def test_weights_that_are_cut_off(tmp_path: Path) -> None:
    folder = changed_model(tmp_path)
    weights = folder / "model.safetensors"
    whole = weights.resolve()
    weights.unlink()
    with whole.open("rb") as source:
        weights.write_bytes(source.read(1_000_000))
    assert failed(vllm_cpu.plan(folder)).id == "weights-damaged"


def test_port_that_another_program_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        found = failed(vllm_cpu.plan(), port=other.getsockname()[1])
    assert found.id == "port-taken"
