"""What engines took of this machine's GPUs beside their KV cache, against what was predicted.

``stoker up`` reads it in the engine's log after a start. It corrects later plans of the same model
on as many GPUs: other models have other activations and graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated

import msgspec

from stoker import engines
from stoker.host import Host
from stoker.measured_file import MeasuredFile
from stoker.planning import Plan
from stoker.planning.requirements import memory_key

#: No correction is larger than this part of a GPU: the worst prediction of those that were
#: compared with logs was 4 % of the cache off (docs/contributing/plan-accuracy.md).
_MOST_SHARE = 0.1
#: Less is the rounding of the log, and no reason to plan another context.
_LEAST_BYTES = 64 * 1024**2
_Bytes = Annotated[int, msgspec.Meta(ge=-(2**40), le=2**40)]


class MeasuredMemory(msgspec.Struct, frozen=True):
    """What a start took of each GPU beyond what was predicted before any correction."""

    more_bytes: _Bytes = 0
    date: str = ""


_FILE = MeasuredFile("measured-memory.json", MeasuredMemory)


def remember(plan: Plan, host: Host, log: Iterable[str]) -> None:
    """Keep what the log of a start of ``plan`` reports; nothing where it reports none.

    What can't be written is not kept: the start was made for something else.
    """
    launcher = engines.lookup(plan.engine).launcher
    if launcher is None or not plan.gpus or plan.memory.device_bytes is None:
        return
    reported = [n for line in log if (n := launcher.cache_bytes(line)) is not None]
    if not reported:
        return
    # Each GPU's process reports its own; the smallest decides, and earlier starts come before.
    cache = min(reported[-plan.gpus :])
    more = plan.memory.measured_bytes + plan.memory.kv_cache_bytes - cache
    most = int(_MOST_SHARE * plan.memory.device_bytes)
    more = 0 if abs(more) < _LEAST_BYTES else min(most, max(-most, more))
    entry = MeasuredMemory(more, date.today().isoformat())
    key = memory_key(plan.engine, plan.model, plan.gpus)
    _FILE.change(_machine(host), key, lambda _: entry)


def of(host: Host) -> Mapping[str, int]:
    """What is known of this machine, as ``Requirements.measured_bytes`` takes it."""
    return {key: entry.more_bytes for key, entry in _FILE.read().get(_machine(host), {}).items()}


def forget() -> bool:
    """Remove all of it. Whether there was any."""
    return _FILE.forget()


def _machine(host: Host) -> str:
    """Other GPUs, or another amount of their memory, are another machine."""
    return "; ".join(f"{gpu.name} {(gpu.memory_total_bytes or 0) >> 30}" for gpu in host.gpus)
