"""The picture fits a terminal and says in words what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from stoker.cli.commands.host import host_json, render
from stoker.host import ContainerRuntime, Cpu, Disk, Gpu, Host, Memory
from stoker.host.nvidia import nvidia_gpus

GIB = 1024**3
BARE = Host(
    system="Linux",
    arch="x86_64",
    cpu=Cpu("Some Processor", 8, 16, avx2=True),
    memory=Memory(32 * GIB, 20 * GIB),
    disk=Disk("/models", 500 * GIB, 100 * GIB),
    runtimes=(
        ContainerRuntime("docker", True, "28.2.2", nvidia=True, rootless=True),
        ContainerRuntime("podman", False, problem="Podman is not installed."),
    ),
    hub_reachable=False,
)


def picture(host: Host) -> str:
    console = Console(width=80, no_color=True, record=True)
    with console.capture() as captured:
        console.print(render(host))
    return captured.get()


@pytest.mark.parametrize("name", ["rtx-3090-x2", "h100", "h100-mig", "h200-x8", "gb10"])
def test_a_machine_with_gpus_fits_80_columns(name: str, nvml: Callable[..., Any]) -> None:
    host = replace(BARE, gpus=nvidia_gpus(nvml(name)).gpus)
    assert max(len(line) for line in picture(host).splitlines()) <= 80


def test_equal_gpus_share_a_heading_and_keep_their_own_bars(nvml: Callable[..., Any]) -> None:
    text = picture(replace(BARE, gpus=nvidia_gpus(nvml("h200-x8")).gpus))
    assert text.count("NVIDIA H200") == 1
    assert "8 x NVIDIA H200" in text
    assert text.count("of 140.4 GiB free") == 8
    assert "held by python (pid 1213801)" in text


def test_what_is_missing_is_reported() -> None:
    text = picture(BARE)
    assert "none found: models run on the CPU" in text
    assert "Podman is not installed." in text
    assert "not reachable" in text
    assert "Docker 28.2.2: rootless, NVIDIA runtime" in text


def test_unknown_memory_is_not_shown_as_zero() -> None:
    unknown = Gpu(0, "intel", "Intel GPU [8086:e20b]")
    half_known = Gpu(1, "intel", "Arc A770", memory_total_bytes=16 * GIB)
    text = picture(replace(BARE, gpus=(unknown, half_known), disk=None, memory=Memory(0, 0)))
    assert "Intel GPU [8086:e20b]" in text
    assert "memory unknown" in text
    assert "16.0 GiB, free memory unknown" in text
    assert "0.0 of" not in text


def test_problems_come_last_in_full() -> None:
    problem = "The NVIDIA driver is installed but not loaded: restart the machine."
    last = picture(replace(BARE, problems=(problem,))).strip().splitlines()[-1]
    assert last.startswith("! The NVIDIA driver")


def test_json_has_bytes_and_null_for_the_unknown() -> None:
    host = replace(BARE, gpus=(Gpu(0, "intel", "Arc"),), hub_reachable=None)
    found = json.loads(json.dumps(host_json(host)))
    assert found["memory"]["total_bytes"] == 32 * GIB
    assert found["gpus"][0]["memory_total_bytes"] is None
    assert found["hub_reachable"] is None
    assert found["runtimes"][1]["problem"] == "Podman is not installed."
