"""How full the KV cache of a running server is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.engines import http_json
from stoker.engines.base import Backend, ServedModel
from stoker.engines.metric_values import metric_values
from stoker.engines.registry import lookup

if TYPE_CHECKING:
    from collections.abc import Iterable

    import aiohttp


async def kv_cache_use(
    http: aiohttp.ClientSession, backend: Backend, models: Iterable[ServedModel], *, idle: bool
) -> float | None:
    """The part of its KV cache that holds tokens, from 0 to 1; ``None`` where that is not known.

    ``idle`` is whether no request is under way: llama.cpp can't be asked then
    (``llama_slots.held``). Raises ``aiohttp.ClientError``, and ``LookupError``, ``TypeError`` or
    ``ValueError`` for an answer in another form.
    """
    engine = lookup(backend.engine)
    if engine.kv_cache_metrics:
        answer = await http_json.ask(http, backend, "/metrics")
        return _mean(answer.body, engine.kv_cache_metrics) if answer.status == 200 else None
    if engine.slot_files is None or not idle:
        return None
    capacity = sum((m.max_model_len or 0) * (m.parallel or 1) for m in models)
    held = sum((await engine.slot_files.held(http, backend)).values())
    return min(1.0, held / capacity) if capacity else None


def _mean(metrics: bytes, names: Iterable[str]) -> float | None:
    """The mean over the copies of an engine, each of which reports its own cache."""
    values = [min(1.0, max(0.0, value)) for value in metric_values(metrics, names)]
    return sum(values) / len(values) if values else None
