"""What clients see of the models: one entry each, and an alias that outlives every model."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from stoker import models
from stoker.engines import ALIAS, ServedModel

#: OpenAI's and Anthropic's clients demand a date. When a model was made is not known; the epoch is
#: what Anthropic's API has in that case (https://docs.anthropic.com/en/api/models-list).
_CREATED, _CREATED_AT = 0, "1970-01-01T00:00:00Z"


def alias_target(models: Mapping[str, ServedModel], up: Callable[[str], bool]) -> str | None:
    """The model that the name ``local`` stands for: the first one that chats, and is up if any is.

    ``None`` where no model chats, and where a backend serves a model of that very name.
    """
    if ALIAS in models:
        return None
    chats = [name for name, model in models.items() if model.may_chat]
    return next(filter(up, chats), next(iter(chats), None))


def entries(
    served: Iterable[ServedModel],
    alias_of: str | None,
    fits: Callable[[ServedModel], bool],
    completing: Container[str] = (),
) -> list[dict[str, Any]]:
    """The ``data`` of ``/v1/models``.

    The alias comes last, with the real name as its ``root``. It is listed only where one model
    chats: beside several, a list that has one of them twice would mislead. Those that are there for
    ``completing`` code do not count.
    """
    listed = [_entry(model, fits(model)) for model in served]
    chats = [e for e in listed if e["capabilities"]["chat"] and e["id"] not in completing]
    if alias_of is None or len(chats) != 1:
        return listed
    return [*listed, {**chats[0], "id": ALIAS, "root": alias_of}]


def _entry(model: ServedModel, fits: bool) -> dict[str, Any]:
    # A model without tools gets them in its prompt: editors may offer it in agent mode.
    tools = "emulated" if model.tools == "none" else model.tools or "native"
    return {
        "id": model.id,
        "object": "model",
        "type": "model",
        "display_name": model.id,
        "created": _CREATED,
        "created_at": _CREATED_AT,
        "owned_by": "stoker",
        "max_model_len": model.max_model_len,
        "quantization": model.quantization,
        "capabilities": {
            "chat": model.may_chat,
            "tools": tools if model.may_chat else "none",
            "vision": bool(model.vision),
            "reasoning": bool(model.reasoning),
            "infill": bool(model.fill_in_the_middle) and models.may_fill_in(model.id),
            "fits": fits,
        },
    }
