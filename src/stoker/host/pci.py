"""Accelerators on the PCI bus, as ``/sys`` lists them, with or without a driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stoker.host.sysfs import children, read_int, read_text

NVIDIA, AMD, INTEL = 0x10DE, 0x1002, 0x8086
_DISPLAY, _PROCESSING_ACCELERATOR = 0x03, 0x12
#: Where distributions put the PCI ID list (packages ``pci.ids`` and ``hwdata``).
_PCI_IDS = ("usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids")


@dataclass(frozen=True, slots=True)
class PciDevice:
    """A device's address (``0000:47:00.0``), its numbers, and its folder in ``/sys``."""

    address: str
    vendor: int
    device: int
    path: Path


def accelerators(root: Path, vendor: int) -> list[PciDevice]:
    """The vendor's display controllers and, for AMD, its processing accelerators.

    An Instinct MI300X shows no display and has PCI class 0x12. Intel's NPUs have that class
    too and are left out: no engine that Stoker knows runs on them.
    """
    classes = {_DISPLAY, _PROCESSING_ACCELERATOR} if vendor == AMD else {_DISPLAY}
    found = []
    for path in children(root / "sys/bus/pci/devices"):
        pci_class = read_int(path / "class")
        device = read_int(path / "device")
        if pci_class is None or device is None or read_int(path / "vendor") != vendor:
            continue
        if pci_class >> 16 in classes:
            found.append(PciDevice(path.name, vendor, device, path))
    return found


def device_name(root: Path, vendor: int, device: int) -> str | None:
    """The name that the machine's PCI ID list gives the device, or ``None``.

    The list writes the chip and, in brackets, what it is sold as: ``DG2 [Arc A770]``. The
    second is its usual name, and the one in Stoker's catalogue.
    """
    for place in _PCI_IDS:
        text = read_text(root / place)
        if text:
            return _look_up(text, vendor, device)
    return None


def _look_up(pci_ids: str, vendor: int, device: int) -> str | None:
    in_vendor = False
    for line in pci_ids.splitlines():
        if line.startswith(("\t\t", "#")) or not line:
            continue
        if not line.startswith("\t"):
            in_vendor = line.startswith(f"{vendor:04x}  ")
        elif in_vendor and line.startswith(f"\t{device:04x}  "):
            chip, _, sold_as = line.split("  ", 1)[1].partition("[")
            return sold_as.partition("]")[0] or chip.strip()
    return None
