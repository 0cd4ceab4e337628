"""GPUs are found by the names that drivers and people use, and their facts are sane."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from stoker.errors import StokerError, UsageError
from stoker.host import GpuSpec, find_gpu, known_gpus, lookup_gpu

GIB = 1024**3
SPECS = known_gpus()


pytestmark = pytest.mark.usefixtures("home")


def test_there_are_at_least_sixty() -> None:
    assert len({spec.label for spec in SPECS}) >= 60


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("NVIDIA GeForce RTX 4060 Laptop GPU", "RTX 4060 Laptop 8GB"),
        ("NVIDIA GeForce RTX 5070 Ti Laptop GPU", "RTX 5070 Ti Laptop 12GB"),
        ("RTX 4060 8GB", "RTX 4060 8GB"),
        ("rtx4060", "RTX 4060 8GB"),
        ("4060 Ti 16 GB", "RTX 4060 Ti 16GB"),
        ("NVIDIA GeForce RTX 3090", "RTX 3090 24GB"),
        ("3090", "RTX 3090 24GB"),
        ("RTX 4090 Mobile", "RTX 4090 Laptop 16GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM 40GB"),
        ("NVIDIA A100-SXM4-80GB", "A100 SXM 80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 PCIe 80GB"),
        ("A100-40", None),
        ("NVIDIA H100 80GB HBM3", "H100 SXM 80GB"),
        ("NVIDIA H100 PCIe", "H100 PCIe 80GB"),
        ("NVIDIA L40S", "L40S 48GB"),
        ("Tesla T4", "T4 16GB"),
        ("Tesla V100-SXM2-16GB", "V100 SXM2 16GB"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada 48GB"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX PRO 6000 Blackwell 96GB"),
        ("AMD Instinct MI300X OAM", "MI300X 192GB"),
        ("AMD Radeon RX 7900 XTX", "RX 7900 XTX 24GB"),
        ("7900 xtx", "RX 7900 XTX 24GB"),
        ("Intel(R) Arc(TM) A770 Graphics", "Arc A770 16GB"),
        ("Apple M4 Max 64GB", "Apple M4 Max 64GB"),
        ("RTX 4060 24GB", None),
        ("GeForce 4 MX 440", None),
        ("", None),
    ],
)
def test_a_name_finds_its_gpu(name: str, label: str | None) -> None:
    spec = lookup_gpu(name)
    assert (spec.label if spec else None) == label


def test_what_the_driver_reports_decides_between_two_of_one_name() -> None:
    reported = 12288 * 1024**2
    assert find_gpu("NVIDIA GeForce RTX 3080", reported).label == "RTX 3080 12GB"
    assert find_gpu("NVIDIA GeForce RTX 3080").label == "RTX 3080 10GB"


def test_an_unknown_gpu_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UsageError) as caught:
        find_gpu("RTX 4065")
    assert "RTX 4060" in caught.value.why


def test_a_wrong_size_is_refused_with_the_sizes_that_exist() -> None:
    with pytest.raises(UsageError, match="RTX 4060 8GB"):
        find_gpu("RTX 4060 24GB")


def test_unified_memory_takes_the_size_that_is_named() -> None:
    assert find_gpu("Apple M2 Ultra 192GB").memory_bytes == 192 * GIB
    assert find_gpu("Apple M2 Ultra").memory_bytes is None


def test_a_spec_becomes_the_gpu_that_detection_would_find() -> None:
    gpu = find_gpu("RTX 4060 8GB").gpu(index=1)
    assert (gpu.index, gpu.vendor, gpu.compute_capability) == (1, "nvidia", (8, 9))
    assert gpu.memory_total_bytes == 8188 * 1024**2


def test_the_users_own_file_adds_and_overrides(home: Path) -> None:
    folder = home / "stoker/config"
    folder.mkdir(parents=True)
    (folder / "gpus.toml").write_text(
        '[[gpus]]\nname = "RTX 4060"\nvendor = "nvidia"\nkind = "desktop"\n'
        "memory_gb = 8\nbandwidth_gb_s = 300\n"
        '[[gpus]]\nname = "Bench One"\nvendor = "amd"\nkind = "datacenter"\nmemory_gb = 1\n'
    )
    assert find_gpu("RTX 4060").bandwidth_bytes_per_s == 300e9
    assert find_gpu("bench one").memory_bytes == GIB


def test_a_broken_file_of_the_user_is_named(home: Path) -> None:
    folder = home / "stoker/config"
    folder.mkdir(parents=True)
    (folder / "gpus.toml").write_text("[[gpus]\n")
    with pytest.raises(StokerError, match=r"gpus\.toml"):
        find_gpu("RTX 4060")


def test_no_two_entries_have_one_label() -> None:
    assert [label for label, count in Counter(s.label for s in SPECS).items() if count > 1] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)
def test_every_entry_is_complete_and_its_units_are_sane(spec: GpuSpec) -> None:
    assert spec.sources.get("specifications", "").startswith("https://")
    assert spec.bandwidth_bytes_per_s is not None
    assert 60e9 <= spec.bandwidth_bytes_per_s <= 25e12
    if spec.unified:
        assert spec.memory_options_bytes or spec.memory_bytes
    else:
        assert spec.memory_bytes is not None
        assert 6 * GIB <= spec.memory_bytes <= 512 * GIB
        assert spec.power_w is not None
        assert 30 <= spec.power_w <= 2000
    if spec.memory_usable_bytes is not None:
        assert spec.memory_bytes is not None
        assert 0.9 <= spec.memory_usable_bytes / spec.memory_bytes <= 1.02
        assert spec.sources["memory"]
    for kind, rate in spec.flops.items():
        assert kind in {"fp16", "fp8", "fp4", "int8"}
        assert 2e12 <= rate <= 30e15
    if "fp8" in spec.flops and "fp16" in spec.flops:
        assert spec.flops["fp8"] >= spec.flops["fp16"]
    if spec.vendor == "nvidia":
        assert spec.compute_capability is not None
        # fp8 matrix units came with Ada (8.9), fp4 with Blackwell (10.0).
        assert ("fp8" in spec.flops) <= (spec.compute_capability >= (8, 9))
        assert ("fp4" in spec.flops) <= (spec.compute_capability >= (10, 0))
    if spec.vendor == "amd":
        assert spec.gfx
    if spec.price is not None:
        assert 0 < spec.price.low_usd <= spec.price.high_usd
        assert spec.price.date.startswith("20")
        assert spec.price.source.startswith("https://")
    # Every name of an entry finds an entry of that name: no alias is shadowed.
    for name in (spec.name, *spec.aliases):
        found = lookup_gpu(name, spec.memory_bytes)
        assert found is not None
        assert found.label == spec.label
