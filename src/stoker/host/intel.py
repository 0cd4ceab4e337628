"""Intel GPUs, from what the ``xe`` and ``i915`` drivers show in ``/sys``."""

from __future__ import annotations

from pathlib import Path

from stoker.host.hardware import Gpu
from stoker.host.pci import INTEL, PciDevice, accelerators, device_name
from stoker.host.sysfs import children, read_int


def intel_gpus(root: Path = Path("/")) -> list[Gpu]:
    """Every Intel GPU, built into a processor or on a card.

    Memory is ``None`` where the driver does not show it: graphics built into a processor use
    main memory, and the mainline ``i915`` driver shows no size for a card either. Free memory
    is in no file of ``/sys``.
    """
    return [_gpu(root, index, card) for index, card in enumerate(accelerators(root, INTEL))]


def _gpu(root: Path, index: int, card: PciDevice) -> Gpu:
    name = device_name(root, INTEL, card.device) or f"Intel GPU [8086:{card.device:04x}]"
    return Gpu(index, "intel", name, memory_total_bytes=_memory_bytes(card.path))


def _memory_bytes(card: Path) -> int | None:
    """``xe`` shows the memory of each tile, Intel's own build of ``i915`` that of the card."""
    tiles = [read_int(tile / "physical_vram_size_bytes") for tile in card.glob("tile[0-9]*")]
    local = [read_int(drm / "lmem_total_bytes") for drm in children(card / "drm")]
    return sum(size or 0 for size in tiles) or sum(size or 0 for size in local) or None
