"""What Stoker asks of vLLM: every flag with its reason, no secret where others can read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support import vllm_cpu

from stoker import engines
from stoker.engines import ContainerLaunch, Mount, Options, ProcessLaunch
from stoker.errors import StokerError, UsageError
from stoker.planning import Plan

ENGINE = engines.get("vllm")
FOLDER = Path("/srv/models/smollm2")


def plan(**arguments: str | int | bool) -> Plan:
    return vllm_cpu.plan(FOLDER, "smollm2", **arguments)


def container(options: Options | None = None, **arguments: str | int | bool) -> ContainerLaunch:
    launch = ENGINE.launch(plan(**arguments), port=8001, key="s3cret", options=options or Options())
    assert isinstance(launch, ContainerLaunch)
    return launch


def values(launch: ContainerLaunch, flag: str) -> list[object]:
    return [part.value for part in launch.flags if part.name == flag]


def test_container_has_every_flag_that_vllm_needs() -> None:
    launch = container(Options(gpus=True))
    assert values(launch, "--name") == ["vllm-server"]
    assert values(launch, "--gpus") == ["all"]
    assert values(launch, "--ipc") == ["host"]
    assert not values(launch, "--shm-size")
    assert values(launch, "--publish") == ["127.0.0.1:8001:8000"]
    assert values(launch, "--restart") == ["unless-stopped"]
    assert values(launch, "--log-opt") == ["max-size=20m", "max-file=3"]
    assert f"{FOLDER}:/model:ro" in values(launch, "--volume")
    assert launch.image.startswith("vllm/vllm-openai:v")
    assert launch.argv[:2] == ("docker", "run")


def test_every_part_of_a_launch_has_a_reason() -> None:
    ways = (Options(gpus=True), Options(private_ipc=True), Options(offline_network=True))
    for options in (Options(), *ways):
        assert all(len(part.reason) > 10 for part in container(options).parts)


def test_size_of_shared_memory_is_set_only_where_it_is_the_containers_own() -> None:
    # Podman 4.3 answers 500: "cannot set shmsize when running in the {host } IPC Namespace".
    shared = {part.name: part.reason for part in container().flags}
    assert "--ipc" in shared
    assert "--shm-size" not in shared
    private = {part.name: part.value for part in container(Options(private_ipc=True)).flags}
    assert "--ipc" not in private
    assert private["--shm-size"] == "4g"


def test_secrets_are_in_no_command_and_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    at_hub = replace(plan(), model=replace(plan().model, path=None))
    launch = ENGINE.launch(at_hub, port=8001, key="s3cret", options=Options())
    assert isinstance(launch, ContainerLaunch)
    assert launch.env["HF_TOKEN"] == "hf_secret"
    assert launch.env["VLLM_API_KEY"] == "s3cret"
    assert "--env=HF_TOKEN" in launch.argv
    for text in (" ".join(launch.argv), repr(launch), str(launch.parts)):
        assert "s3cret" not in text
        assert "hf_secret" not in text
    native = ENGINE.launch(plan(), port=1, key="s3cret", options=Options(python="/x/python"))
    assert isinstance(native, ProcessLaunch)
    assert "s3cret" not in " ".join(native.argv)


def test_what_is_on_this_machine_is_served_with_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    offline = container(Options(offline_network=True))
    assert values(offline, "--network") == ["stoker-offline"]
    assert not values(offline, "--publish")
    assert offline.env["HF_HUB_OFFLINE"] == "1"
    assert "HF_TOKEN" not in offline.env
    assert offline.fingerprint != container().fingerprint
    at_hub = replace(plan(), model=replace(plan().model, path=None))
    options = Options(offline_network=True)
    fetching = ENGINE.launch(at_hub, port=1, key="", options=options)
    assert isinstance(fetching, ContainerLaunch)
    assert not fetching.offline
    assert "HF_HUB_OFFLINE" not in fetching.env


def test_vllm_reports_nothing_to_its_makers() -> None:
    native = ENGINE.launch(plan(), port=1, key="", options=Options(python="/x/python"))
    assert container().env["VLLM_NO_USAGE_STATS"] == native.env["VLLM_NO_USAGE_STATS"] == "1"


def test_cpu_host_gets_the_cpu_image_and_its_cache_size() -> None:
    launch = container()
    assert "vllm-cpu-release-repo:v" in launch.image
    assert launch.env["VLLM_CPU_KVCACHE_SPACE"] == "1"
    assert "--env=VLLM_CPU_KVCACHE_SPACE=1" in launch.argv  # the printed command starts the same
    (reported,) = (part for part in launch.parts if str(part.value).startswith("VLLM_CPU_KVCACHE"))
    assert "KV cache" in reported.reason
    assert "VLLM_CPU_KVCACHE_SPACE" not in container(kv_cache_memory_bytes=1 << 28).env


def test_fingerprint_is_of_what_is_started_and_not_of_port_or_key() -> None:
    first = container()
    again = ENGINE.launch(plan(), port=9, key="other", options=Options())
    assert isinstance(again, ContainerLaunch)
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != container(max_num_seqs=3).fingerprint
    assert first.fingerprint != container(Options(image="mine:1")).fingerprint
    assert first.fingerprint != container(Options(private_ipc=True)).fingerprint


def test_snapshot_of_the_hub_is_mounted_with_the_files_that_it_links_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    snapshot = tmp_path / "hub/models--o--m/snapshots/abc"
    launch = ENGINE.launch(vllm_cpu.plan(snapshot), port=1, key="", options=Options())
    assert isinstance(launch, ContainerLaunch)
    assert launch.command[:2] == (
        "--model",
        "/root/.cache/huggingface/hub/models--o--m/snapshots/abc",
    )
    assert f"{tmp_path}:/root/.cache/huggingface" in values(launch, "--volume")


def test_switches_are_spelled_as_vllm_spells_them() -> None:
    command = container(enforce_eager=True, enable_prefix_caching=False).command
    assert "--enforce-eager" in command
    assert "--no-enable-prefix-caching" in command
    assert "True" not in command


def test_volume_of_ones_own_is_mounted_and_a_wrong_one_refused() -> None:
    launch = container(Options(volumes=("/etc/ssl:/etc/ssl:ro",)))
    assert "/etc/ssl:/etc/ssl:ro" in values(launch, "--volume")
    for wrong in ("/etc/ssl", "relative:/x", "/a:b", "/a:/b:rx"):
        with pytest.raises(UsageError):
            Mount.parse(wrong)


def test_gguf_is_refused_with_the_engine_that_serves_it() -> None:
    gguf = vllm_cpu.plan(FOLDER)
    wrong = Plan(
        model=type(gguf.model)(id="m", format="gguf", origin="file", served_name="m"),
        engine="vllm",
        max_model_len=1,
        parallel=1,
        arguments=(),
        memory=gguf.memory,
    )
    with pytest.raises(StokerError, match="can't serve m") as refused:
        ENGINE.launch(wrong, port=1, key="", options=Options())
    assert "--engine llama.cpp" in refused.value.fix


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("INFO [api_utils.py:286] non-default args: {'port': 1}", "configure"),
        ("INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config", "start engine"),
        ("INFO [cpu_model_runner.py:68] Starting to load model /m...", "load"),
        ("INFO [model_runner.py:284] Loading model from scratch...", "load"),
        ("Loading safetensors checkpoint shards:   0% Completed | 0/1", "load"),
        ("INFO [backends.py:585] Dynamo bytecode transform time: 12.88 s", "compile"),
        ("INFO [gpu_worker.py:232] Available KV cache memory: 26.91 GiB", "KV cache"),
        ("DeepGEMM warmup:   0%|          | 1/503 [00:03<29:04,  3.48s/it]", "warm up kernels"),
        ("Capturing CUDA graphs: 100%|##########| 67/67", "capture graphs"),
        ("INFO [core.py:172] init engine (profile, create kv cache) took 44.51 s", "start server"),
        ('INFO: 127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK', None),
    ],
)
def test_log_line_begins_a_phase(line: str, phase: str | None) -> None:
    assert ENGINE.phase(line) == phase
