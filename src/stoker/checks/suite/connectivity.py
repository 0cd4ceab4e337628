"""Can it be reached, and does it look after its keys?"""

from __future__ import annotations

from http.client import HTTPConnection

from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, NotSupported
from stoker.checks.raw_http import Reply
from stoker.checks.target import CHAT, Endpoint, expect

table = Table("reach", "Reachability and keys")
#: A list of models is read from memory.
_SOON_S = 10.0
_NO_KEY = "sk-stoker-check-that-opens-nothing"


@table.check(
    "answers",
    "GET /v1/models is answered with JSON within 10 seconds.",
    why="It is the first thing that an editor asks, before it shows any model.",
    fix="Start the server, and give the address that it prints, without a path after the port.",
    needed_for=tuple(Use),
)
def answers(endpoint: Endpoint) -> str:
    reply = endpoint.get("/v1/models", limit_s=_SOON_S)
    if reply.status in (401, 403):
        raise Failed(f"status {reply.status}: it wants a key that opens it")
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    reply.json()
    return f"answered in {reply.elapsed_s * 1000:.0f} ms"


@table.check(
    "health",
    "GET /health says that it is well.",
    why="Load balancers ask it before they send anybody there.",
    fix="Serve /health with status 200, or let whatever is in front ask /v1/models.",
)
def health(endpoint: Endpoint) -> str:
    reply = endpoint.get("/health", limit_s=_SOON_S)
    if reply.status in (404, 405):
        raise NotSupported("there is no /health")
    expect(reply.ok, f"status {reply.status}: {reply.text}")
    return "status 200"


@table.check(
    "wrong-key",
    "A wrong key is refused with 401.",
    why="An editor that gets anything else can't tell its user that the key is wrong.",
    fix="Answer 401 to a key that opens nothing.",
)
def wrong_key(endpoint: Endpoint) -> str:
    return _refused(endpoint, endpoint.get("/v1/models", key=_NO_KEY, limit_s=_SOON_S))


@table.check(
    "no-key",
    "A chat without a key is refused with 401 where keys are asked for.",
    why="A server that lets chats through without a key is open to everybody who can reach it.",
    fix="Check the key on every path, not on the list of models alone.",
)
def no_key(endpoint: Endpoint) -> str:
    body = endpoint.ask("Hi", max_tokens=1)
    return _refused(endpoint, endpoint.post(CHAT, body, key=None))


def _refused(endpoint: Endpoint, reply: Reply) -> str:
    if not endpoint.key:
        raise NotSupported("no key was given to this run, so none can be wrong")
    expect(reply.status == 401, f"status {reply.status}: {reply.text}")
    return "status 401"


@table.check(
    "unknown-path",
    "A path that does not exist is answered with 404.",
    why="Programs ask for optional paths to learn what a server can; a made-up 200 misleads them.",
    fix="Answer 404 to unknown paths; a web page in front of the API often answers 200 to all.",
)
def unknown_path(endpoint: Endpoint) -> str:
    reply = endpoint.get("/v1/stoker-check-no-such-path", limit_s=_SOON_S)
    expect(reply.status in (404, 405), f"status {reply.status}: {reply.text}")
    return f"status {reply.status}"


@table.check(
    "connection-reuse",
    "A connection can be used again after an answer and after a stream.",
    why="Editors keep connections open; opening one with TLS for each question costs time.",
    fix="Keep connections alive (HTTP/1.1), and end every answer's body as its head says.",
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
        raise Failed("after a stream the server closed the connection without a word") from None
