"""The plan of a server that is already running and is adopted."""

from __future__ import annotations

from stoker import engines
from stoker.engines import Options, Recognised
from stoker.errors import StokerError
from stoker.models import Model
from stoker.planning import MemoryPrediction, Plan

_UNKNOWN_LENGTH = 0


def look_at(url: str, key: str | None = None, key_env: str | None = None) -> Recognised:
    """The server at ``url``. Raises ``StokerError`` where none is usable."""
    import asyncio  # noqa: PLC0415  (40 ms that `stoker status` does without)

    from stoker.engines.server_detection import recognise  # noqa: PLC0415  (an HTTP client)

    found = asyncio.run(recognise(url, key, key_env))
    if not found.models:
        raise StokerError(
            f"The server at {found.backend.url} has no model.",
            f"It is {found.backend.engine}, and it lists none.",
            "Load a model there, then adopt it again.",
        )
    return found


def plan_for(found: Recognised) -> tuple[Plan, Options]:
    """The plan of an adopted server: what it serves already; there is nothing to launch."""
    first = next((m for m in found.models if m.may_chat), found.models[0])
    engine = found.backend.engine
    model = Model(
        id=first.id,
        format=engines.lookup(engine).formats[0],
        origin="endpoint",
        served_name=first.id,
        quantization=first.quantization,
        max_context_tokens=first.max_model_len,
    )
    plan = Plan(
        model=model,
        engine=engine,
        max_model_len=first.max_model_len or _UNKNOWN_LENGTH,
        parallel=1,
        arguments=(),
        memory=MemoryPrediction(0, 0, 0, 0),
        reasons=(f"{engine} is already running at {found.backend.url}",),
    )
    there = found.backend
    return plan, Options(adopted=there.url, key=there.key, key_env=there.key_env)
