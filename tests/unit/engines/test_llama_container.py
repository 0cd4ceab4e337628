"""A plan for llama.cpp as a container: the image, and the command line of ``llama-server``.

That llama.cpp's own parser reads it is proved in ``tests/integration/test_docker_llama.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.server.scripted_engine import PLAN

from stoker.engines import ContainerLaunch, Options
from stoker.engines.llama_cpp import llama_container
from stoker.engines.llama_cpp.llama_experts import ARGUMENT as EXPERTS
from stoker.engines.llama_cpp.llama_launch import launch
from stoker.planning import Argument

THERE = Options(endpoint="unix:///docker.sock")


def launched(path: Path | None, options: Options, **arguments: int | str) -> ContainerLaunch:
    plan = replace(
        PLAN,
        engine="llama.cpp",
        model=replace(PLAN.model, path=path),
        arguments=tuple(Argument(name, value, "") for name, value in arguments.items()),
    )
    found = launch(plan, port=7, key="a-secret", options=options)
    assert isinstance(found, ContainerLaunch)
    return found


@pytest.mark.parametrize(
    ("options", "family"),
    [
        (replace(THERE, gpus=True), "server-cuda-b"),
        (replace(THERE, devices=("/dev/kfd", "/dev/dri")), "server-rocm-b"),
        (replace(THERE, devices=("/dev/dri",)), "server-vulkan-b"),
        (THERE, "server-b"),
        (replace(THERE, image="mine:1", gpus=True), "mine:1"),
    ],
    ids=["NVIDIA", "ROCm", "Vulkan", "CPU", "named"],
)
def test_the_image_is_the_one_for_the_gpu(options: Options, family: str) -> None:
    assert family in llama_container.image(options)


def test_the_plan_is_spelled_as_llama_server_reads_it(tmp_path: Path) -> None:
    arguments: dict[str, int | str] = {
        "n_ctx": 65536,
        "cpuparams.n_threads": 8,
        "n_gpu_layers": -1,
        EXPERTS: "blk\\.(0|1)\\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU",
        "flash_attn_type": 1,
        "cache_type_k": 8,
        "fit_params": False,
        "cont_batching": True,
        "spec-type": "draft-mtp",
    }
    found = launched(tmp_path / "model.gguf", replace(THERE, gpus=True), **arguments)
    line = " ".join(found.command)
    for part in (
        "--model /models/model.gguf",
        "--ctx-size 65536",
        "--threads 8",
        "--n-gpu-layers all",
        "--override-tensor blk\\.(0|1)",
        "--flash-attn on",
        "--cache-type-k q8_0",
        "--fit off",
        "--cont-batching",
        "--spec-type draft-mtp",
        "--port 8080",
    ):
        assert part in line
    assert "a-secret" not in line
    assert "a-secret" not in " ".join(found.argv)
    assert {argument.name for argument in found.arguments} >= {"n_ctx", EXPERTS}


def test_each_file_of_a_hubs_cache_is_mounted_itself(tmp_path: Path) -> None:
    """There a model's files are links to blobs, which a mounted folder would not lead to."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    for folder in (blobs, snapshot):
        folder.mkdir()
    for number in (1, 2):
        (blobs / f"b{number}").touch()
        (snapshot / f"big-0000{number}-of-00002.gguf").symlink_to(blobs / f"b{number}")
    (snapshot / "other.gguf").touch()
    found = launched(snapshot / "big-00001-of-00002.gguf", THERE)
    assert [str(mount) for mount in found.mounts] == [
        f"{blobs}/b{number}:/models/big-0000{number}-of-00002.gguf:ro" for number in (1, 2)
    ]


def test_devices_and_groups_are_flags_of_docker_too(tmp_path: Path) -> None:
    amd = replace(THERE, devices=("/dev/kfd", "/dev/dri"), groups=(44, 992))
    found = launched(tmp_path / "model.gguf", amd)
    assert {"--device=/dev/kfd", "--device=/dev/dri", "--group-add=992"} <= set(found.argv)
    without = launched(tmp_path / "model.gguf", THERE)
    assert found.fingerprint != without.fingerprint


def test_before_the_download_nothing_is_mounted() -> None:
    found = launched(None, THERE)
    assert found.command[:2] == ("--model", "/models/coder.gguf")
    assert not found.mounts


def test_empty_argument_keeps_the_servers_default() -> None:
    """As ``--engine-arg slot_save_path=`` turns a planned one off."""
    assert "--slot-save-path" not in launched(None, THERE, slot_save_path="").command
