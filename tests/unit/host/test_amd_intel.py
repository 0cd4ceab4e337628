"""AMD's and Intel's GPUs are read from the kernel's files, with no tool of the vendor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.host import find_gpu
from stoker.host.amd import amd_gpus, gfx_name
from stoker.host.intel import intel_gpus

Machine = Callable[..., Path]


def test_reads_an_mi300x(machine: Machine) -> None:
    (gpu,) = amd_gpus(machine("mi300x"))
    assert (gpu.vendor, gpu.index, gpu.gfx) == ("amd", 0, "gfx942")
    assert gpu.memory_total_bytes == 206_141_652_992
    assert gpu.memory_free_bytes == 206_141_652_992 - 297_771_008
    assert gpu.name == "AMD GPU [1002:74a1]"


def test_a_card_that_reports_its_product_name_is_called_by_it(machine: Machine) -> None:
    root = machine(
        "mi300x",
        **{
            "sys/bus/pci/devices/0000:47:00.0/product_name": "AMD Instinct MI300X OAM\n",
            "sys/module/amdgpu/version": "6.10.5\n",
        },
    )
    (gpu,) = amd_gpus(root)
    assert (gpu.name, gpu.driver) == ("AMD Instinct MI300X OAM", "6.10.5")


def test_a_partition_is_not_given_the_whole_cards_memory(machine: Machine) -> None:
    gpus = amd_gpus(machine("mi300x-cpx"))
    assert [gpu.memory_total_bytes for gpu in gpus] == [25_767_706_624] * 2
    assert [gpu.memory_free_bytes for gpu in gpus] == [None, None]


def test_graphics_in_a_processor_have_the_memory_set_apart_for_them(machine: Machine) -> None:
    (gpu,) = amd_gpus(machine("strix-point"))
    assert gpu.gfx == "gfx1150"
    assert gpu.memory_total_bytes == 536_870_912


def test_a_card_that_kfd_does_not_know_is_still_a_gpu(machine: Machine) -> None:
    root = machine(
        **{
            "sys/bus/pci/devices/0000:03:00.0/vendor": "0x1002",
            "sys/bus/pci/devices/0000:03:00.0/device": "0x67df",
            "sys/bus/pci/devices/0000:03:00.0/class": "0x030000",
            "sys/bus/pci/devices/0000:03:00.0/mem_info_vram_total": "8589934592",
        }
    )
    (gpu,) = amd_gpus(root)
    assert (gpu.memory_total_bytes, gpu.memory_free_bytes, gpu.gfx) == (8 * 1024**3, None, None)


def test_nodes_are_in_the_order_of_their_numbers(machine: Machine) -> None:
    node = "sys/class/kfd/kfd/topology/nodes"
    root = machine(
        **{
            f"{node}/10/properties": "gfx_target_version 110000\nlocation_id 2560\n",
            f"{node}/2/properties": "gfx_target_version 90010\nlocation_id 512\n",
        }
    )
    assert [gpu.gfx for gpu in amd_gpus(root)] == ["gfx90a", "gfx1100"]


@pytest.mark.parametrize(
    ("version", "name"),
    [(90402, "gfx942"), (90010, "gfx90a"), (110501, "gfx1151"), (120001, "gfx1201")],
)
def test_target_versions_are_written_as_compilers_do(version: int, name: str) -> None:
    assert gfx_name(version) == name


@given(st.integers(9, 12), st.integers(0, 15), st.integers(0, 15))
def test_a_gfx_name_can_be_taken_apart_again(major: int, minor: int, stepping: int) -> None:
    name = gfx_name(major * 10_000 + minor * 100 + stepping)
    assert name == f"gfx{major}{minor:x}{stepping:x}"
    assert (int(name[3:-2]), int(name[-2], 16), int(name[-1], 16)) == (major, minor, stepping)


def test_an_arc_whose_driver_shows_no_size_has_unknown_memory(machine: Machine) -> None:
    (gpu,) = intel_gpus(machine("arc-b580"))
    assert (gpu.vendor, gpu.name) == ("intel", "Intel GPU [8086:e20b]")
    assert gpu.memory_total_bytes is None


def test_an_arc_is_named_by_the_pci_list_and_sized_by_its_tiles(machine: Machine) -> None:
    (gpu,) = intel_gpus(machine("arc-a770-built"))
    assert gpu.name == "Arc A770"
    assert find_gpu(gpu.name).memory_bytes == gpu.memory_total_bytes
    assert gpu.memory_total_bytes == 16 * 1024**3
    assert gpu.memory_free_bytes is None


def test_the_tiles_of_one_card_add_up(machine: Machine) -> None:
    second = "sys/bus/pci/devices/0000:03:00.0/tile1/physical_vram_size_bytes"
    (gpu,) = intel_gpus(machine("arc-a770-built", **{second: str(16 * 1024**3)}))
    assert gpu.memory_total_bytes == 32 * 1024**3


def test_intels_own_i915_shows_the_cards_memory(machine: Machine) -> None:
    place = "sys/bus/pci/devices/0000:09:00.0/drm/card1/lmem_total_bytes"
    (gpu,) = intel_gpus(machine("arc-b580", **{place: "12884901888"}))
    assert gpu.memory_total_bytes == 12 * 1024**3


def test_an_npu_is_not_a_gpu(machine: Machine) -> None:
    root = machine(
        **{
            "sys/bus/pci/devices/0000:00:0b.0/vendor": "0x8086",
            "sys/bus/pci/devices/0000:00:0b.0/device": "0x7d1d",
            "sys/bus/pci/devices/0000:00:0b.0/class": "0x120000",
        }
    )
    assert intel_gpus(root) == []


def test_a_machine_without_gpus_has_none(machine: Machine) -> None:
    root = machine("linux-vm-no-gpu")
    assert (amd_gpus(root), intel_gpus(root)) == ([], [])


@given(st.text(max_size=40))
def test_nonsense_in_a_drivers_file_is_an_unknown_value(nonsense: str) -> None:
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / "sys/bus/pci/devices/0000:03:00.0"
        card.mkdir(parents=True)
        (card / "vendor").write_text("0x1002")
        (card / "device").write_text("0x74a1")
        (card / "class").write_text("0x030000")
        (card / "mem_info_vram_total").write_text(nonsense, encoding="utf-8")
        total = amd_gpus(Path(folder))[0].memory_total_bytes
    assert total is None or total == int(nonsense.strip(), 0)
