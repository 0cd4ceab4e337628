"""Which server answers at a URL, what it serves, and what of it causes trouble in an editor."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import aiohttp

from stoker.engines import http_json
from stoker.engines.base import Backend, Recognised, ServedModel
from stoker.engines.registry import FALLBACK, all_engines, lookup, server_client
from stoker.errors import StokerError
from stoker.network_addresses import without_api_path

#: With less, agent mode's tools alone leave no room: VS Code's are about 14,000 tokens.
_SMALL_CONTEXT_TOKENS = 8192
_TROUBLE = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)


async def recognise(url: str, key: str | None = None) -> Recognised:
    """Ask the server at ``url`` what it is. Raises ``StokerError`` where none answers there."""
    base = without_api_path(url)
    async with aiohttp.ClientSession() as http:
        listing = await _listing(http, Backend(base, FALLBACK, key))
        backend = await _which(http, base, key, listing)
        client = server_client(backend.engine)
        models = tuple(await client.discover(http, backend))
        version = await _version(http, backend, client.VERSION_AT)
        warnings = await client.warnings(http, backend, models)
        behind = lookup(backend.engine).behind
        kinds = await behind(http, backend) if behind is not None else ()
        return Recognised(backend, version, models, (*warnings, *_common(models)), kinds)


async def _which(http: aiohttp.ClientSession, base: str, key: str | None, listing: Any) -> Backend:
    for engine in all_engines():
        backend = Backend(base, engine.name, key)
        with contextlib.suppress(*_TROUBLE):
            if await server_client(engine.name).is_it(http, backend, listing):
                return backend
    raise StokerError(
        f"The server at {base} is not one that Stoker can use.",
        "It answers, but lists no models at /v1/models.",
        "Check the address: it is the one before /v1.",
    )


async def _listing(http: aiohttp.ClientSession, backend: Backend) -> Any:
    """``/v1/models``; ``None`` where it is answered with something else."""
    try:
        return await http_json.get(http, backend, "/v1/models")
    except aiohttp.ClientResponseError as refused:
        if refused.status in (401, 403):
            raise StokerError(
                f"The server at {backend.url} requires a key.",
                f"It refused with status {refused.status}.",
                "Put the key in an environment variable and name it: --key-env NAME.",
            ) from refused
        return None
    except ValueError:
        return None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise StokerError(
            f"Nothing answers at {backend.url}.",
            f"The system reports: {error}.",
            "Start the server, and give the address that it prints.",
        ) from error


async def _version(http: aiohttp.ClientSession, backend: Backend, at: str | None) -> str | None:
    if at is None:
        return None
    with contextlib.suppress(*_TROUBLE):
        answer = await http_json.get(http, backend, at)
        return str(answer.get("version") or answer.get("build_info") or "") or None
    return None


def _common(models: Sequence[ServedModel]) -> list[str]:
    found = []
    for model in models:
        if model.max_model_len is None:
            found.append(
                f"The server does not report how long the context of {model.id} is, so requests "
                "can't be made to fit it."
            )
        elif model.max_model_len < _SMALL_CONTEXT_TOKENS:
            found.append(
                f"The context of {model.id} is {model.max_model_len:,} tokens. VS Code's agent "
                "mode sends about 14,000 tokens of tools: Stoker leaves out those that matter "
                "least."
            )
    return found
