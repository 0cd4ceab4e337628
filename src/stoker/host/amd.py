"""AMD GPUs, from what the ``amdgpu`` and KFD drivers show in ``/sys``; no ROCm is needed."""

from __future__ import annotations

from pathlib import Path

from stoker.host.hardware import Gpu
from stoker.host.pci import AMD, PciDevice, accelerators, device_name
from stoker.host.sysfs import children, read_int, read_table, read_text

_NODES = "sys/class/kfd/kfd/topology/nodes"
#: Kinds of KFD memory bank that are the GPU's own: frame buffer, public and private
#: (``HSA_HEAPTYPE_FRAME_BUFFER_*`` in the kernel's ``kfd_crat.h`` and ROCm's ``hsakmttypes.h``).
_FRAME_BUFFER = (1, 2)


def amd_gpus(root: Path = Path("/")) -> list[Gpu]:
    """One ``Gpu`` for each GPU node of KFD, then for each card that KFD does not know.

    A partitioned MI300X has one node a partition.
    """
    cards = {card.address: card for card in accelerators(root, AMD)}
    gpus: list[Gpu] = []
    seen = set()
    for node in sorted(children(root / _NODES), key=_node_number):
        properties = read_table(node / "properties")
        if not properties.get("gfx_target_version"):
            continue  # a processor
        address = _pci_address(properties)
        seen.add(address)
        gpus.append(_gpu(root, len(gpus), cards.get(address), node))
    for address, card in cards.items():
        if address not in seen:
            gpus.append(_gpu(root, len(gpus), card, None))
    return gpus


def gfx_name(target_version: int) -> str:
    """``90402`` is ``gfx942`` and ``90010`` is ``gfx90a``: major, then two hexadecimal digits."""
    major, rest = divmod(target_version, 10_000)
    minor, stepping = divmod(rest, 100)
    return f"gfx{major}{minor:x}{stepping:x}"


def _gpu(root: Path, index: int, card: PciDevice | None, node: Path | None) -> Gpu:
    properties = read_table(node / "properties") if node else {}
    target = properties.get("gfx_target_version")
    total, free = _memory(card, node)
    return Gpu(
        index=index,
        vendor="amd",
        name=_name(root, card, properties),
        memory_total_bytes=total,
        memory_free_bytes=free,
        gfx=gfx_name(target) if target else None,
        driver=read_text(root / "sys/module/amdgpu/version"),
    )


def _memory(card: PciDevice | None, node: Path | None) -> tuple[int | None, int | None]:
    """Total and free bytes; the smaller total where the two drivers disagree.

    In a partitioned MI300X ``mem_info_vram_total`` is the whole card's and the KFD bank is the
    partition's (https://github.com/ROCm/legacy-rocm-build/issues/4750): free memory is then
    unknown, since ``mem_info_vram_used`` is the whole card's too. In a processor with graphics
    the KFD bank is main memory and ``mem_info_vram_total`` is what is set apart for graphics.
    """
    total = read_int(card.path / "mem_info_vram_total") if card else None
    used = read_int(card.path / "mem_info_vram_used") if card else None
    bank = _bank_bytes(node) if node else None
    if total is None or (bank is not None and bank < total):
        return bank, None
    return total, max(0, total - used) if used is not None else None


def _bank_bytes(node: Path) -> int | None:
    banks = [read_table(bank / "properties") for bank in children(node / "mem_banks")]
    sizes = [b.get("size_in_bytes", 0) for b in banks if b.get("heap_type") in _FRAME_BUFFER]
    return sum(sizes) or None


def _name(root: Path, card: PciDevice | None, properties: dict[str, int]) -> str:
    device = card.device if card else properties.get("device_id", 0)
    product = read_text(card.path / "product_name") if card else None
    known = product or device_name(root, AMD, device)
    return known or f"AMD GPU [1002:{device:04x}]"


def _pci_address(properties: dict[str, int]) -> str:
    """``location_id`` holds bus, device and function as PCI packs them: 8, 5 and 3 bits."""
    location = properties.get("location_id", 0)
    bus, device, function = location >> 8, location >> 3 & 0x1F, location & 0x7
    return f"{properties.get('domain', 0):04x}:{bus:02x}:{device:02x}.{function:x}"


def _node_number(node: Path) -> int:
    return int(node.name) if node.name.isdecimal() else -1
