"""Whether the server can be reached, and whether it enforces its API keys."""

from __future__ import annotations

from http.client import HTTPConnection

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
from stoker.checks.raw_http import Reply
from stoker.checks.target import CHAT, Endpoint, expect

table = Table("reach", "Reachability and keys")
#: A server has its list of models in memory: it needs no longer.
_SOON_S = 10.0
_NO_KEY = "sk-stoker-check-that-opens-nothing"


@table.check(
    "answers",
    "GET /v1/models is answered with JSON within 10 seconds.",
    why="An editor asks for this first, before it shows any model.",
    fix="Start the server, and use the address it prints, without a path after the port.",
    needed_for=tuple(Use),
)
def answers(endpoint: Endpoint) -> str:
    reply = endpoint.get("/v1/models", limit_s=_SOON_S)
    if reply.status in (401, 403):
        raise Failed(f"status {reply.status}: the server requires a valid API key")
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    reply.json()
    return f"answered in {reply.elapsed_s * 1000:.0f} ms"


@table.check(
    "health",
    "GET /health is answered with status 200.",
    why="Load balancers poll it before they route requests to a server.",
    fix="Serve /health with status 200, or point the load balancer at /v1/models.",
)
def health(endpoint: Endpoint) -> str:
    reply = endpoint.get("/health", limit_s=_SOON_S)
    if reply.status in (404, 405):
        raise NotSupported("the server has no /health")
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    return "status 200"


@table.check(
    "wrong-key",
    "A wrong key is refused with 401.",
    why="On any other status an editor can't report that the key is wrong.",
    fix="Answer an invalid key with 401.",
)
def wrong_key(endpoint: Endpoint) -> str:
    return _refused(endpoint, endpoint.get("/v1/models", key=_NO_KEY, limit_s=_SOON_S))


@table.check(
    "no-key",
    "A chat without a key is refused with 401 where the server requires keys.",
    why="A server that accepts chats without a key is open to anyone who can reach it.",
    fix="Check the key on every path, not only on /v1/models.",
)
def no_key(endpoint: Endpoint) -> str:
    body = endpoint.ask("Hi", max_tokens=1)
    return _refused(endpoint, endpoint.post(CHAT, body, key=None))


def _refused(endpoint: Endpoint, reply: Reply) -> str:
    if not endpoint.key:
        raise NotSupported("this run has no key, so a wrong one can't be tried")
    expect(reply.status == 401, f"status {reply.status}: {reply.text}")
    return "status 401"


@table.check(
    "unknown-path",
    "A path that does not exist is answered with 404.",
    why="Clients probe optional paths to learn what a server supports; a false 200 misleads them.",
    fix="Answer unknown paths with 404; a web UI in front of the API often answers all with 200.",
)
def unknown_path(endpoint: Endpoint) -> str:
    reply = endpoint.get("/v1/stoker-check-no-such-path", limit_s=_SOON_S)
    expect(reply.status in (404, 405), f"status {reply.status}: {reply.text}")
    return f"status {reply.status}"


@table.check(
    "connection-reuse",
    "A connection can be reused after an answer and after a stream.",
    why="Editors keep connections open; a new TLS connection for each question costs time.",
    fix="Keep connections alive (HTTP/1.1), and end each body as its headers announce.",
)
def connection_reuse(endpoint: Endpoint) -> str:
    connection = endpoint.client.connect()
    body = endpoint.ask("Hi", max_tokens=2, stream=True)
    try:
        first = endpoint.post(CHAT, body, on=connection)
        expect(first.ok, f"status {first.status}: {first.text}")
        expect(connection.sock is not None, "the server closed the connection after a stream")
        second = _again(endpoint, connection)
    finally:
        connection.close()
    expect(second.ok, f"the second request got status {second.status}: {second.text}")
    return "one connection carried a stream and a second request"


def _again(endpoint: Endpoint, connection: HTTPConnection) -> Reply:
    try:
        return endpoint.get("/v1/models", on=connection)
    except Failed:
        raise Failed("the server closed the connection after a stream, unannounced") from None
