"""``stoker up`` starts what ``stoker plan`` shows, on machines of every kind."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stoker.application import LaunchRequest, choose, imagined_machine
from stoker.cli import app
from stoker.cli.commands.host import host_json
from stoker.errors import StokerError
from stoker.host import ContainerRuntime, Cpu, Disk, Host, Memory, find_gpu, imagined_host
from stoker.models import Purpose

GIB = 1024**3
PURPOSES: tuple[Purpose, ...] = ("agent", "chat", "completion")
NO_DOCKER = ContainerRuntime("docker", reachable=False, problem="Docker is not installed.")
NO_PODMAN = ContainerRuntime("podman", reachable=False, problem="Podman is not installed.")
NO_TOOLKIT = ContainerRuntime("docker", reachable=True, endpoint="unix:///var/run/docker.sock")


def host(gpu: str | None = None, count: int = 1, **changes: Any) -> Host:
    """A machine on which everything works, but for the ``changes``."""
    base = imagined_host(find_gpu(gpu), count) if gpu else bare(8, 16)
    return replace(base, **changes)


def bare(cores: int, gib: float) -> Host:
    memory = Memory(int(gib * GIB), int(0.85 * gib * GIB))
    cpu = Cpu("imagined", cores, cores, avx2=True)
    return Host("Linux", "x86_64", cpu, memory, runtimes=(NO_DOCKER, NO_PODMAN), hub_reachable=True)


@dataclass(frozen=True)
class Imagined:
    """A machine as both commands are told of it: by its GPU, or by a file that describes it."""

    gpu: str = ""
    gpus: int = 1
    described: Host | None = None

    def options(self, folder: Path) -> list[str]:
        if self.described is None:
            return ["--gpu", self.gpu, "--gpus", str(self.gpus)]
        path = folder / "host.json"
        path.write_text(json.dumps(host_json(self.described)))
        return ["--host", str(path)]


SMALL_DISK = Disk("/", 64 * GIB, 6 * GIB)
MACHINES = {
    "rtx-4060-8gb": Imagined("RTX 4060 8GB"),
    "rtx-4090": Imagined("RTX 4090"),
    "2x-rtx-4090": Imagined("RTX 4090", 2),
    "rtx-5090": Imagined("RTX 5090"),
    "a10": Imagined("A10"),
    "a100-80gb": Imagined("A100 80GB"),
    "h100": Imagined("H100"),
    "h200": Imagined("H200"),
    "8x-h200": Imagined("H200", 8),
    "mi300x": Imagined("MI300X"),
    "mi210": Imagined("MI210"),
    "arc-b580": Imagined("Arc B580"),
    "apple-m2-16gb": Imagined("Apple M2 16GB"),
    "apple-m4-64gb": Imagined("Apple M4 Max 64GB"),
    "gb10": Imagined("GB10"),
    "t4": Imagined("T4"),
    "v100": Imagined("V100 SXM2"),
    "l4": Imagined("L4"),
    "l40s": Imagined("L40S"),
    "laptop-8gb": Imagined(described=bare(4, 8)),
    "server-cpu": Imagined(described=bare(64, 256)),
    "offline-laptop": Imagined(described=replace(bare(8, 16), hub_reachable=False)),
    "offline-h100": Imagined(described=host("H100", hub_reachable=False)),
    "no-docker": Imagined(described=host("H100", runtimes=(NO_DOCKER, NO_PODMAN))),
    "no-toolkit": Imagined(described=host("L40S", runtimes=(NO_TOOLKIT, NO_PODMAN))),
    "wsl-no-docker": Imagined(described=host("RTX PRO 6000", wsl2=True, runtimes=(NO_DOCKER,))),
    "full-disk": Imagined(described=host("RTX 5090", disk=SMALL_DISK)),
}


@pytest.fixture(autouse=True)
def _terminal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def planned(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed("plan", *arguments, "--json"))
    return found


def started(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed("up", "--dry-run", *arguments, "--json"))
    return found


def flags(arguments: list[dict[str, Any]]) -> dict[str, Any]:
    return {part["name"].lstrip("-").replace("-", "_"): part["value"] for part in arguments}


#: Without a network there is only the package index, which has nothing for agent mode.
NOTHING_FOR = {("offline-laptop", "agent"), ("offline-h100", "agent")}


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        (name, purpose)
        for name in MACHINES
        for purpose in (*PURPOSES, None)
        if (name, purpose) not in NOTHING_FOR
    ],
)
def test_up_starts_exactly_what_plan_shows(
    name: str, purpose: Purpose | None, tmp_path: Path
) -> None:
    options = MACHINES[name].options(tmp_path)
    options += ["--purpose", purpose] if purpose else []
    plan, up = planned(*options), started(*options)
    first = plan["plans"][0]
    assert first["chosen"]
    assert [one["chosen"] for one in plan["plans"]].count(True) == 1
    assert (first["model"]["id"], first["model"]["quantization"], first["engine"]) == (
        up["model"],
        up["quantization"],
        up["engine"],
    )
    assert (first["max_model_len"], first["parallel"]) == (up["max_model_len"], up["parallel"])
    assert plan["purpose"] == up["purpose"]
    assert first["download_bytes"] == up["download_bytes"] > 0
    shown, real = flags(first["arguments"]), flags(up["arguments"])
    assert shown
    assert shown == {flag: real[flag] for flag in shown}
    assert first["fingerprint"] == up["fingerprint"]


@pytest.mark.parametrize(("name", "purpose"), sorted(NOTHING_FOR))
def test_up_starts_nothing_where_plan_shows_nothing_that_can_be_started(
    name: str, purpose: str, tmp_path: Path
) -> None:
    options = [*MACHINES[name].options(tmp_path), "--purpose", purpose]
    plans = planned(*options)["plans"]
    assert plans
    assert not any(one["startable"] or one["chosen"] for one in plans)
    result = CliRunner().invoke(app, ["up", "--dry-run", *options])
    assert isinstance(result.exception, StokerError)


@pytest.mark.parametrize(
    "name",
    ["offline-h100", "no-docker", "no-toolkit", "wsl-no-docker", "full-disk"],
)
def test_what_cannot_be_started_is_never_ranked_first_and_the_reason_is_given(
    name: str, tmp_path: Path
) -> None:
    options = MACHINES[name].options(tmp_path)
    plans = planned(*options)["plans"]
    startable = [one["startable"] for one in plans]
    assert startable == sorted(startable, reverse=True)
    assert False in startable
    for one in plans:
        assert (one["obstacle"] is None) == one["startable"]
        assert one["startable"] or all(one["obstacle"][part] for part in ("what", "why", "fix"))
    obstacle = next(one["obstacle"] for one in plans if not one["startable"])
    text = "".join(printed("plan", *options).split())
    assert "".join(obstacle["fix"].split()) in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("offline-h100", "hub"),
        ("no-docker", "Docker is not installed"),
        ("no-toolkit", "NVIDIA Container Toolkit"),
        ("wsl-no-docker", "Docker is not installed"),
        ("full-disk", "disk space"),
    ],
)
def test_a_machine_without_what_vllm_or_a_download_needs_gets_something_else(
    name: str, expected: str, tmp_path: Path
) -> None:
    found = planned(*MACHINES[name].options(tmp_path))["plans"]
    assert found[0]["engine"] == "llama.cpp"
    assert any(expected in json.dumps(one["obstacle"]) for one in found if one["obstacle"])


@pytest.mark.parametrize(
    ("options", "image"),
    [
        (("--gpu", "MI300X"), "vllm/vllm-openai-rocm:v"),
        (("--gpu", "MI300X", "--engine", "llama.cpp"), "ghcr.io/ggml-org/llama.cpp:server-rocm-b"),
        (("--gpu", "RTX 4060", "--engine", "llama.cpp"), "llama.cpp:server-cuda-b"),
    ],
    ids=["vLLM", "llama.cpp on AMD", "llama.cpp on NVIDIA"],
)
def test_a_gpu_gets_the_image_for_it(options: tuple[str, ...], image: str) -> None:
    command = "".join(printed("up", "--dry-run", *options).split())
    assert image in command
    devices = "--device=/dev/kfd" if "MI300X" in options else "--gpus=all"
    assert devices in command


def test_without_a_purpose_both_mean_agent_mode_where_it_is_quick_enough(tmp_path: Path) -> None:
    assert (
        planned("--gpu", "RTX 4090")["plans"][0]
        == planned("--gpu", "RTX 4090", "--purpose", "agent")["plans"][0]
    )
    laptop = Imagined(described=replace(bare(2, 8), hub_reachable=False)).options(tmp_path)
    plan = planned(*laptop)
    assert plan["purpose"] is None
    assert "agent mode" in printed("plan", *laptop)


def test_a_named_model_that_cannot_be_started_is_planned_and_marked(tmp_path: Path) -> None:
    options = ["qwen3-coder-30b-a3b", "--engine", "vllm"]
    options += MACHINES["no-docker"].options(tmp_path)
    plans = planned(*options)["plans"]
    assert [one["startable"] for one in plans] == [False]
    assert "can't start any of these" in printed("plan", *options)
    result = CliRunner().invoke(app, ["up", "--dry-run", *options])
    assert "nowhere to run" in str(result.exception)


def test_models_show_the_form_and_context_that_up_would_take() -> None:
    rows = json.loads(printed("models", "--fits", "--gpu", "RTX 4060 8GB", "--json"))
    fit = next(row["fit"] for row in rows if row["name"] == "qwen2.5-coder-7b")
    up = started("qwen2.5-coder-7b", "--gpu", "RTX 4060 8GB", "--purpose", "chat")
    assert (fit["id"], fit["quantization"], fit["engine"]) == (
        up["model"],
        up["quantization"],
        up["engine"],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not describe"),
        ("[]", "not describe"),
        ('{"system": 1}', "not describe"),
        (None, "read"),
    ],
)
def test_a_file_that_describes_no_machine_is_refused_with_how_to_write_one(
    text: str | None, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "host.json"
    if text is not None:
        path.write_text(text)
    result = CliRunner().invoke(app, ["plan", "--host", str(path)])
    assert expected in str(result.exception)
    assert isinstance(result.exception, StokerError)
    assert "stoker host --json" in result.exception.fix


def test_a_machine_is_named_in_one_way_only(tmp_path: Path) -> None:
    options = [*MACHINES["laptop-8gb"].options(tmp_path), "--gpu", "H100"]
    result = CliRunner().invoke(app, ["plan", *options])
    assert "--host and --gpu" in str(result.exception)


def test_a_model_is_divided_among_exactly_as_many_gpus_as_asked_for() -> None:
    machine = imagined_machine("H100", 4)
    for gpus in (1, 2, 4):
        request = LaunchRequest(model="qwen3-8b", tensor_parallel=gpus)
        assert choose(request, machine).plan.gpus == gpus


def test_decoding_ahead_is_for_few_requests_at_once_however_they_are_asked_for() -> None:
    machine = imagined_machine("H200")
    wanted = LaunchRequest(model="qwen3.6-27b")
    assert choose(wanted, machine).plan.argument("speculative_config") is not None
    many = choose(replace(wanted, parallel=32), machine).plan
    assert many.argument("speculative_config") is None
