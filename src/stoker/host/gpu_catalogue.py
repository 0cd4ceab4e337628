"""Facts on GPUs by name: ``data/gpus.toml``, and the user's own ``gpus.toml`` before it.

They complete a GPU of this machine (the driver reports its name and memory, not its bandwidth),
and describe one that the user only names ("RTX 4060 8GB").
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, Literal, get_args

from stoker import paths
from stoker.data.facts import load_additions, load_table
from stoker.errors import UsageError
from stoker.host.apple import metal_share_bytes
from stoker.host.hardware import Gpu, Vendor

Kind = Literal["desktop", "laptop", "workstation", "datacenter", "integrated"]
Confidence = Literal["high", "medium", "low"]

GIB = 1024**3
MIB = 1024**2
GB = 10**9
#: A driver keeps up to this share of the memory as sold for itself (T4: 15,360 of 16,384 MiB).
_DRIVER_SHARE = 0.08
#: Words of a name that do not distinguish GPUs.
_NOISE = re.compile(
    r"\b(nvidia|geforce|amd|ati|radeon|instinct|intel|tesla|apple|graphics|gpu|generation|edition"
    r"|workstation|oam|corporation|inc)\b|\((r|tm)\)"
)
_MEMORY = re.compile(r"\b(\d+(?:\.\d+)?)\s*(?:gib|gb|g)\b")


@dataclass(frozen=True, slots=True)
class PriceRange:
    """What one card cost, in US dollars, on a date."""

    low_usd: int
    high_usd: int
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class HourlyRent:
    """What one GPU cost an hour on demand, in US dollars, on a date."""

    usd_per_hour: float
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class GpuSpec:
    """One kind of GPU. ``None`` means "not known", and a type missing in ``flops`` likewise."""

    name: str
    vendor: Vendor
    kind: Kind
    #: The memory as sold, in bytes; ``None`` for unified memory until a size is given.
    memory_bytes: int | None = None
    #: What the driver reports as the total, in bytes.
    memory_usable_bytes: int | None = None
    memory_options_bytes: tuple[int, ...] = ()
    #: The GPU shares its memory with the CPU.
    unified: bool = False
    #: Peak memory bandwidth in bytes a second.
    bandwidth_bytes_per_s: float | None = None
    #: Peak dense operations a second by type: fp16 (and bf16 from 8.0 on), fp8, fp4, int8.
    flops: Mapping[str, float] = field(default_factory=dict, hash=False)
    compute_capability: tuple[int, int] | None = None
    gfx: str | None = None
    #: Generation and lanes, such as ``4.0 x16``.
    pcie: str | None = None
    #: GPU-to-GPU link, both directions together, in bytes a second.
    nvlink_bytes_per_s: float | None = None
    power_w: int | None = None
    released: str | None = None
    price: PriceRange | None = None
    rent: HourlyRent | None = None
    aliases: tuple[str, ...] = ()
    note: str = ""
    confidence: Confidence = "low"
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> str:
        """The name with the memory, which together name one entry."""
        return self.name if self.memory_bytes is None else f"{self.name} {self._memory_gb:g}GB"

    @property
    def _memory_gb(self) -> float:
        return (self.memory_bytes or 0) / GIB

    @property
    def usable_bytes(self) -> int | None:
        """The memory that programs can use: what the driver reports, or Metal's share on a Mac."""
        if self.memory_usable_bytes is None and self.vendor == "apple" and self.memory_bytes:
            return metal_share_bytes(self.memory_bytes)
        return self.memory_usable_bytes or self.memory_bytes

    def gpu(self, index: int = 0) -> Gpu:
        """A GPU of this kind as ``detect()`` would find it, idle."""
        total = self.usable_bytes
        return Gpu(
            index=index,
            vendor=self.vendor,
            name=self.name,
            memory_total_bytes=total,
            memory_free_bytes=total,
            compute_capability=self.compute_capability,
            gfx=self.gfx,
        )


def known_gpus() -> tuple[GpuSpec, ...]:
    """Every GPU that is known, the user's own first.

    Raises ``StokerError`` where the user's ``gpus.toml`` cannot be read.
    """
    own = load_additions(paths.config_dir() / "gpus.toml", "gpus", _spec)
    return (*own, *_shipped_gpus())


@cache
def _shipped_gpus() -> tuple[GpuSpec, ...]:
    return tuple(_spec(row) for row in load_table("gpus")["gpus"])


def find_gpu(name: str, memory_bytes: int | None = None) -> GpuSpec:
    """The GPU with this name: NVML's, a usual one ("RTX 4060 8GB"), or an alias.

    ``memory_bytes`` is what a driver reports; without it, a size in ``name`` decides between
    GPUs of one name, else the first in the file. Raises ``UsageError`` with the nearest names.
    """
    spec = lookup_gpu(name, memory_bytes)
    if spec is None:
        raise _unknown(name)
    return spec


def lookup_gpu(name: str, memory_bytes: int | None = None) -> GpuSpec | None:
    """``find_gpu``, or ``None`` where no GPU is known by that name and memory."""
    key, named_bytes = _key(name)
    wanted = memory_bytes if memory_bytes is not None else named_bytes
    called = [spec for spec in known_gpus() if _keys(spec) & {key, f"rtx{key}", f"rx{key}"}]
    if wanted is None:
        return called[0] if called else None
    for spec in called:
        if spec.memory_bytes is None:
            return replace(spec, memory_bytes=wanted)
        if _same_size(spec.memory_bytes, wanted):
            return spec
    return None


def nearest_gpus(name: str, count: int = 4) -> list[str]:
    """Labels of the GPUs whose names are most like ``name``, the nearest first."""
    key, _ = _key(name)
    keys = {k: spec for spec in reversed(known_gpus()) for k in _keys(spec)}
    near = difflib.get_close_matches(key, keys, n=count * 2, cutoff=0.5)
    same = [s.label for s in known_gpus() if key in _keys(s)]
    return list(dict.fromkeys([*same, *(keys[k].label for k in near)]))[:count]


def _unknown(name: str) -> UsageError:
    near = nearest_gpus(name)
    hint = f"The nearest are: {', '.join(near)}." if near else "No known name is similar."
    other = "Use one of those" if near else 'Name it as "RTX 4090"'
    return UsageError(
        f"There is no GPU {name!r} in the catalogue.",
        hint,
        f"{other}, or describe it in {paths.config_dir() / 'gpus.toml'}.",
    )


@lru_cache(maxsize=1024)
def _key(name: str) -> tuple[str, int | None]:
    """``name`` without case, spaces, makers and memory; and the memory that it states."""
    text = name.casefold().replace("(tm)", " ").replace("(r)", " ").replace("-", " ")
    text = re.sub(r"\b(mobile|notebook)\b", "laptop", text)
    found = _MEMORY.search(text)
    text = _NOISE.sub(" ", _MEMORY.sub(" ", text))
    return re.sub(r"[^a-z0-9+]", "", text), int(float(found[1]) * GIB) if found else None


def _keys(spec: GpuSpec) -> frozenset[str]:
    return frozenset(_key(name)[0] for name in (spec.name, *spec.aliases))


def _same_size(sold_bytes: int, wanted_bytes: int) -> bool:
    """Whether a driver's total, or the size in a name, can be of a card sold with that much."""
    return sold_bytes * (1 - _DRIVER_SHARE) <= wanted_bytes <= sold_bytes * (1 + _DRIVER_SHARE)


def _spec(row: Mapping[str, Any]) -> GpuSpec:
    if row["vendor"] not in get_args(Vendor) or row["kind"] not in get_args(Kind):
        raise ValueError(f"{row['name']}: Stoker does not know its vendor or kind")
    capability = row.get("compute_capability")
    return GpuSpec(
        name=row["name"],
        vendor=row["vendor"],
        kind=row["kind"],
        memory_bytes=_scaled(row.get("memory_gb"), GIB),
        memory_usable_bytes=_scaled(row.get("memory_usable_mib"), MIB),
        memory_options_bytes=tuple(int(size * GIB) for size in row.get("memory_options_gb", ())),
        unified=row.get("unified", False),
        bandwidth_bytes_per_s=_scaled(row.get("bandwidth_gb_s"), GB),
        flops={kind: rate * 1e12 for kind, rate in row.get("tflops", {}).items()},
        compute_capability=_capability(capability) if capability else None,
        gfx=row.get("gfx"),
        pcie=row.get("pcie"),
        nvlink_bytes_per_s=_scaled(row.get("nvlink_gb_s"), GB),
        power_w=row.get("power_w"),
        released=row.get("released"),
        price=PriceRange(**row["price"]) if "price" in row else None,
        rent=HourlyRent(**row["rent"]) if "rent" in row else None,
        aliases=tuple(row.get("aliases", ())),
        note=row.get("note", ""),
        confidence=row.get("confidence", "low"),
        sources=row.get("sources", {}),
    )


def _scaled(value: float | None, unit: int) -> int | None:
    return None if value is None else int(value * unit)


def _capability(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)
