"""A replica of a deployed site runs what ``stoker up`` would, and holds nothing of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import deployment_sites

from stoker import engines
from stoker.application import deployment_site
from stoker.engines import ContainerLaunch, Options
from stoker.engines.vllm.vllm_replica import replica
from stoker.errors import StokerError
from stoker.planning import Plan

DIGEST = "registry.example.com/vllm@sha256:" + "0" * 64


def plan(name: str) -> Plan:
    return deployment_site.plan_in(deployment_sites.PLANS / f"{name}.json")


@pytest.mark.parametrize("name", ["rtx-4060", "8x-h200", "h100", "cpu"])
def test_command_is_that_of_stoker_up(name: str) -> None:
    options = Options(gpus=plan(name).gpus > 0)
    up = engines.get("vllm").launch(plan(name), port=1, key="k", options=options)
    assert isinstance(up, ContainerLaunch)
    here = replica(plan(name))
    assert (here.command, here.image) == (up.command, up.image)


def test_other_image_and_more_names() -> None:
    here = replica(plan("h100"), image=DIGEST, more_names=("older", "oldest"))
    after = here.command.index("--served-model-name") + 1
    assert here.image == DIGEST
    assert here.command[after : after + 3] == ("qwen3.8-27b", "older", "oldest")


def test_token_of_this_machine_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    here = replica(plan("h100"))
    assert "hf_secret" not in repr(here)
    assert here.hub_token_variable == "HF_TOKEN"


def test_model_folder_is_mounted_and_the_hub_left_alone() -> None:
    here = replica(plan("cpu-folder"))
    assert here.model_folder == ("/srv/models/qwen2.5-coder-0.5b", "/model")
    assert here.command[:2] == ("--model", "/model")
    assert ("HF_HUB_OFFLINE", "1") in [(one.name, one.value) for one in here.env]
    assert here.hub_token_variable is None
    assert [folder.name for folder in here.folders] == ["compiled"]


def test_snapshot_in_this_machines_hub_cache_is_fetched_where_it_runs() -> None:
    cached = plan("h100")
    snapshot = Path("/root/.cache/huggingface/hub/models--a--b/snapshots/0123")
    here = replica(replace(cached, model=replace(cached.model, path=snapshot)))
    assert here.model_folder is None
    assert here.command[:2] == ("--model", cached.model.id)


def test_door_of_the_engine_comes_with_it() -> None:
    ((path, text),) = replica(plan("h100")).files
    assert path == "/stoker/stoker_key_guard.py"
    assert "class KeyGuard" in text


def test_gguf_is_refused() -> None:
    other = plan("h100")
    with pytest.raises(StokerError, match="can't serve"):
        replica(replace(other, model=replace(other.model, format="gguf")))
