"""What is served here: ``/v1/models`` for every client, ``/info`` for people and editors."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from stoker import __version__
from stoker.access.caller import Caller
from stoker.engines import ServedModel
from stoker.gateway.api import json_answers, model_entries
from stoker.gateway.gateway_state import GatewayState
from stoker.gateway.request_context import RequestContext

#: What the paths of single models begin with.
MODELS = "/v1/models/"


async def list_models(state: GatewayState, context: RequestContext) -> web.Response:
    """``GET /v1/models``: one entry for each model, those that are up first, and the alias."""
    return json_answers.ok({"object": "list", "data": _entries(state, context.caller)})


async def show_model(state: GatewayState, context: RequestContext) -> web.Response:
    """``GET /v1/models/NAME``: the entry of one model; names may hold slashes."""
    name = context.request.path.removeprefix(MODELS)
    entries = {entry["id"]: entry for entry in _entries(state, context.caller)}
    if name not in entries:
        name = state.chosen_model({"model": name}, context.caller).id
    return json_answers.ok(entries[name])


async def info(state: GatewayState, context: RequestContext) -> web.Response:
    """``GET /info``: what the caller may use: backends, models, and how fast each is read."""
    served = state.models_for(context.caller)
    hosts = [(b, [name for name in b.models if name in served]) for b in state.pool.backends]
    backends = [
        {"engine": b.endpoint.engine, "models": names, "up": b.usable}
        for b, names in hosts
        if names or not context.caller.models
    ]
    models = [
        {**entry, "prefill_tokens_per_s": _prefill_tokens_per_s(state, served[_name(entry)])}
        for entry in _entries(state, context.caller)
    ]
    return json_answers.ok(
        {"server": "stoker", "version": __version__, "backends": backends, "models": models}
    )


def _entries(state: GatewayState, caller: Caller) -> list[dict[str, Any]]:
    models, completing = state.models_for(caller), state.pool.for_completion
    return model_entries.entries(
        # A client that takes the first one, as the name ``local`` does, takes one that answers,
        # and none that is there for code alone.
        sorted(models.values(), key=lambda m: (m.id in completing, not state.pool.serving(m.id))),
        state.alias_target(models),
        lambda model: state.shown_preparer(model).chats.fits,
        completing,
    )


def _name(entry: dict[str, Any]) -> str:
    """The model's own name, also of an entry for the alias."""
    return str(entry.get("root", entry["id"]))


def _prefill_tokens_per_s(state: GatewayState, model: ServedModel) -> float | None:
    return state.shown_preparer(model).chats.prefill_tokens_per_s
