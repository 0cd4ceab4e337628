"""Which server answers at a URL, what it serves, and what of it causes trouble in an editor."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
import orjson

from stoker.certificates.client_trust import client_context
from stoker.engines import connection_errors, http_json, refusals
from stoker.engines.base import Backend, Recognised, ServedModel
from stoker.engines.connection_errors import ConnectionProblem
from stoker.engines.http_json import Answer
from stoker.engines.registry import FALLBACK, all_engines, lookup, server_client
from stoker.engines.unanswered import UNANSWERED
from stoker.errors import StokerError
from stoker.network_addresses import without_api_path

#: With less, agent mode's tools alone leave no room: VS Code's are about 14,000 tokens.
_SMALL_CONTEXT_TOKENS = 8192
#: A handshake is two round trips.
_HANDSHAKE_S = 5.0
#: The head of a web page is at its beginning.
_PAGE_BYTES = 32 * 1024
#: An --env-file of Docker's keeps them as part of the value.
_QUOTES = ("'", '"')


class UnusableServerError(StokerError):
    """Why a server can't be used. ``cause`` is for clients: a part of a sentence, no address."""

    def __init__(self, what: str, why: str, fix: str, cause: str) -> None:
        super().__init__(what, why, fix)
        self.cause = cause


async def recognise(url: str, key: str | None = None, key_env: str | None = None) -> Recognised:
    """Ask the server at ``url`` what it is; ``key_env`` is the variable that ``key`` is from.

    Raises ``StokerError`` where none answers there, or one that can't be used.
    """
    there = Backend(without_api_path(url), FALLBACK, key, key_env)
    # The context is what loads slowly, and only https has a use for it.
    tls = client_context() if url.startswith("https:") else True
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as http:
        answer = await _listing(http, there)
        backend = await _which(http, there, answer)
        client = server_client(backend.engine)
        models = tuple(await client.discover(http, backend))
        version = await _version(http, backend, client.VERSION_AT)
        warnings = await client.warnings(http, backend, models) if models else []
        behind = lookup(backend.engine).behind
        kinds = await behind(http, backend) if behind is not None else ()
        return Recognised(backend, version, models, (*warnings, *_common(models)), kinds)


async def reachable(http: aiohttp.ClientSession, backend: Backend) -> None:
    """Raise ``StokerError``, with the reason, where the backend refuses or can't be reached."""
    await _listing(http, backend)


async def _which(http: aiohttp.ClientSession, there: Backend, answer: Answer) -> Backend:
    listing = _parsed(answer)
    for engine in all_engines():
        backend = replace(there, engine=engine.name)
        with contextlib.suppress(*UNANSWERED):
            if await server_client(engine.name).is_it(http, backend, listing):
                return backend
    what, fix = _no_server(answer, listing)
    raise UnusableServerError(
        f"The server at {there.url} is not one that Stoker can use.",
        what,
        fix,
        cause="it lists no models at /v1/models",
    )


async def _listing(http: aiohttp.ClientSession, backend: Backend) -> Answer:
    """What ``/v1/models`` answers. Raises ``StokerError`` where that ends the matter."""
    try:
        answer = await http_json.ask(http, backend, "/v1/models")
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
        problem = await _problem(backend, error)
        words = f" The system reports: {problem.words}." if problem.words else ""
        why = f"{problem.cause[:1].upper()}{problem.cause[1:]}.{words}"
        what = f"Nothing answers at {backend.url}."
        if problem.is_reached:
            what = f"There is no connection to the server at {backend.url}."
        raise UnusableServerError(what, why, problem.fix, cause=problem.cause) from error
    _refuse(backend, answer)
    return answer


async def _problem(backend: Backend, error: BaseException) -> ConnectionProblem:
    """Why nothing answers. A port that hangs up on http may speak TLS: shaking hands shows it."""
    parts = urlsplit(backend.url)
    opened = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError)
    reset = isinstance(error, aiohttp.ClientOSError) and not isinstance(
        error, aiohttp.ClientConnectorError
    )
    if parts.scheme == "http" and (opened or reset) and await _speaks_tls(parts):
        return connection_errors.speaks_tls()
    return connection_errors.explain(error)


async def _speaks_tls(parts: SplitResult) -> bool:
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE  # nothing is sent
    try:
        opening = asyncio.open_connection(parts.hostname, parts.port or 80, ssl=anyone)
        _, writer = await asyncio.wait_for(opening, _HANDSHAKE_S)
    except (OSError, asyncio.TimeoutError):
        return False
    writer.transport.abort()
    return True


def _refuse(backend: Backend, answer: Answer) -> None:
    """Raise for an answer by which no other path of the server needs to be asked."""
    status, url = answer.status, backend.url
    if status == 401:
        _refuse_key(backend, _words(answer))
    if 300 <= status < 400:
        raise _redirected(url, answer.location)
    if status == 407:
        raise UnusableServerError(
            f"A proxy on the way to {url} requires a login.",
            "It answers with status 407.",
            "Use an address that is reached without the proxy: Stoker sends proxies no login.",
            cause="a proxy on the way requires a login (407)",
        )
    if status == 403:
        fix = "Ask who runs the server which keys and which machines it lets in."
        raise _unusable(url, "it refuses access (403)", _words(answer), fix)
    if status in (502, 503, 504):
        fix = "Wait until it has loaded its model, or look into its log."
        raise _unusable(url, f"it is not ready ({status})", _words(answer), fix)
    if status == 400 and b"HTTPS" in answer.body:  # as nginx and Go answer http to a TLS port
        problem = connection_errors.speaks_tls()
        raise _unusable(url, problem.cause, _words(answer), problem.fix)


def _unusable(url: str, cause: str, why: str, fix: str) -> UnusableServerError:
    return UnusableServerError(f"The server at {url} can't be used: {cause}.", why, fix, cause)


def _refuse_key(backend: Backend, words: str) -> None:
    if not backend.key:
        raise UnusableServerError(
            f"The server at {backend.url} requires a key (401).",
            words,
            "Put the key in an environment variable and name it: --key-env NAME, or key_env in a "
            "gateway's configuration.",
            cause="it requires a key, and the gateway has none for it (401)",
        )
    raise UnusableServerError(
        f"The server at {backend.url} {backend.refused_key.removeprefix('it ')} (401).",
        words,
        "Check the key: it may be another server's, mistyped or expired"
        f"{', or its quotes are part of it' if backend.key[0] in _QUOTES else ''}.",
        cause="it refuses the gateway's key for it (401)",
    )


def _redirected(url: str, location: str) -> UnusableServerError:
    try:
        target = refusals.bare(urljoin(f"{url}/v1/models", location))
    except ValueError:  # brackets that don't close
        location = target = ""
    base = without_api_path(target)
    leads = f"It leads to {base}." if location else "It names no target."
    fix = f"If that is the server, use its address: {base}." if location else "Check the address."
    what = f"The address {url} redirects to another one."
    return UnusableServerError(what, leads, fix, cause="its address redirects to another one")


def _parsed(answer: Answer) -> Any:
    """The JSON of a listing; ``None`` where it is none, or a refusal."""
    if answer.status != 200:
        return None
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None


def _no_server(answer: Answer, listing: Any) -> tuple[str, str]:
    """What is wrong with an answer at ``/v1/models`` that no engine gives, and what to do."""
    check = "Check the address: it is the one before /v1."
    page = answer.body[:_PAGE_BYTES].decode("utf-8", errors="replace")
    if answer.status == 404:
        return "It answers, but has no /v1/models (404).", check
    if "<html" in page.lower():
        heading = refusals.page_heading(page)
        titled = f", {heading!r}" if heading else ""
        return f"It answers /v1/models with a web page{titled}: this is no API.", check
    if answer.status != 200:
        return f"/v1/models answers {answer.status}: {_words(answer)}", check
    if listing is None:
        return "It answers /v1/models with something that is not JSON.", check
    if isinstance(listing, dict) and listing.get("data") == []:
        return "It answers, but lists no models at /v1/models.", "Load a model there first."
    return "It answers /v1/models with JSON that is no list of models.", check


def _words(answer: Answer) -> str:
    return refusals.words_of(answer.status, answer.body)


async def _version(http: aiohttp.ClientSession, backend: Backend, at: str | None) -> str | None:
    if at is None:
        return None
    with contextlib.suppress(*UNANSWERED):
        answer = await http_json.get(http, backend, at)
        return str(answer.get("version") or answer.get("build_info") or "") or None
    return None


def _common(models: Sequence[ServedModel]) -> list[str]:
    found = []
    if models and not any(model.may_chat for model in models):
        names = ", ".join(model.id for model in models)
        found.append(
            f"The server answers no chats: {names} makes embeddings or the like. Editors need a "
            "server with a model that chats."
        )
    for model in (model for model in models if model.may_chat):
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
