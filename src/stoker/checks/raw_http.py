"""HTTP as it arrives: raw bytes, and the time at which each piece came.

A client library would hide the faults that the checks look for: a character cut in two, a stream
without an end, a connection that is not kept open.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stoker.certificates.client_trust import http_connection
from stoker.checks.exceptions import Failed, TooLate
from stoker.network_addresses import without_api_path

_PIECE_BYTES = 65536
#: No check expects a larger answer.
_MAX_BODY_BYTES = 32 * 1024 * 1024
#: ``Reply.cut`` where the client closed the connection on purpose.
CANCELLED = "cancelled"
_TRANSPORT_ERRORS = (OSError, http.client.HTTPException, ValueError)

Until = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it arrived. ``first_s`` and ``elapsed_s`` count from when it was requested."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: For each piece of the body, when it arrived and its size in bytes.
    pieces: tuple[tuple[float, int], ...]
    elapsed_s: float
    #: Why the body is incomplete: ``CANCELLED``, or what went wrong.
    cut: str | None = None

    @property
    def first_s(self) -> float:
        """When the first bytes of the body came."""
        return self.pieces[0][0] if self.pieces else self.elapsed_s

    @property
    def ok(self) -> bool:
        """Whether the request was accepted."""
        return self.status == 200

    @property
    def refused(self) -> bool:
        """Whether the server refused the request, rather than failing at it."""
        return 400 <= self.status < 500 or self.status == 501

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ``Failed`` where it is not one."""
        try:
            value = json.loads(self.body)
        except ValueError:
            raise Failed(
                f"status {self.status} with a body that is not JSON: {self.text}"
            ) from None
        if not isinstance(value, dict):
            raise Failed(f"the answer is not a JSON object: {self.text}")
        return value

    @property
    def text(self) -> str:
        """The beginning of the body, for messages."""
        shown = self.body[:300].decode("utf-8", errors="replace").strip()
        return " ".join(shown.split()) or "(empty)"

    @property
    def is_events(self) -> bool:
        """Whether its content type is that of a stream of events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def data(self) -> list[bytes]:
        """The data of each event of a stream, in order, including ``[DONE]``."""
        lines = (line.strip(b"\r") for line in self.body.split(b"\n"))
        return [line[5:].strip() for line in lines if line.startswith(b"data:")]

    def chunks(self) -> list[dict[str, Any]]:
        """The JSON objects of a stream before ``[DONE]``.

        Skips what is not JSON, which ``stream.framing`` reports, and what follows the end, which
        ``stream.done`` reports.
        """
        found = []
        for data in self.data():
            if data == b"[DONE]":
                break
            with contextlib.suppress(ValueError):
                value = json.loads(data.decode("utf-8", errors="replace"))
                if isinstance(value, dict):
                    found.append(value)
        return found


class RawClient:
    """Sends requests to one address, and counts the requests and their tokens."""

    def __init__(self, url: str, key: str | None, timeout_s: float) -> None:
        parts = urlsplit(without_api_path(url))
        self._scheme = parts.scheme
        self._netloc = parts.netloc
        self._path = parts.path.rstrip("/")
        self._key = key
        self._lock = threading.Lock()
        self.timeout_s = timeout_s
        self.requests = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def connect(self, timeout_s: float | None = None) -> http.client.HTTPConnection:
        """A new connection; the caller closes it."""
        return http_connection(self._scheme, self._netloc, timeout_s or self.timeout_s)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        key: str | None = "",
        until: Until | None = None,
        limit_s: float | None = None,
        on: http.client.HTTPConnection | None = None,
    ) -> Reply:
        """Send a request, and read until the end, until ``until(body)``, or for ``limit_s``.

        ``key`` replaces the endpoint's key; ``None`` sends none. ``on`` is an open connection to
        use. Raises ``Failed`` where no answer begins, ``TooLate`` where none begins in time.
        """
        limit_s = limit_s or self.timeout_s
        connection = on or self.connect(limit_s)
        try:
            return self._exchange(connection, method, path, body, key, until, limit_s)
        finally:
            if on is None:
                connection.close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None,
        key: str | None,
        until: Until | None,
        limit_s: float,
    ) -> Reply:
        payload = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        began = time.perf_counter()
        try:
            # A server may refuse a large body before it has read all of it.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, self._path + path, payload, self._headers(payload, key))
            response = connection.getresponse()
        except TimeoutError:
            raise TooLate(f"no answer within {limit_s:.0f} s") from None
        except _TRANSPORT_ERRORS as error:
            raise Failed(f"no answer: {_reason(error)}") from error
        reply = _read(connection, response, began, until, limit_s)
        self._count(reply)
        return reply

    def _headers(self, payload: bytes | None, key: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream"}
        if payload is not None:
            headers["Content-Type"] = "application/json"
        used = self._key if key == "" else key
        if used:
            headers["Authorization"] = f"Bearer {used}"
        return headers

    def _count(self, reply: Reply) -> None:
        usage = _usage_of(reply)
        with self._lock:
            self.requests += 1
            self.prompt_tokens += usage[0]
            self.completion_tokens += usage[1]


def _read(
    connection: http.client.HTTPConnection,
    response: http.client.HTTPResponse,
    began: float,
    until: Until | None,
    limit_s: float,
) -> Reply:
    body = bytearray()
    pieces: list[tuple[float, int]] = []
    cut: str | None = None
    try:
        while piece := response.read1(_PIECE_BYTES):
            body += piece
            pieces.append((time.perf_counter() - began, len(piece)))
            cut = _enough(bytes(body) if until else b"", len(body), until)
            if cut is None and pieces[-1][0] > limit_s:
                cut = f"not complete after {limit_s:.0f} s"
            if cut:
                hang_up(connection, response)
                break
    except TimeoutError:
        cut = f"nothing more within {limit_s:.0f} s"
    except _TRANSPORT_ERRORS as error:
        cut = _reason(error)
    headers = {name.lower(): value for name, value in response.getheaders()}
    elapsed_s = time.perf_counter() - began
    return Reply(response.status, headers, bytes(body), tuple(pieces), elapsed_s, cut)


def _enough(body: bytes, size: int, until: Until | None) -> str | None:
    if size > _MAX_BODY_BYTES:
        return "the answer is larger than 32 MB"
    return CANCELLED if until is not None and until(body) else None


def hang_up(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
    """Close the socket at once, as an editor does when its user presses Stop."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    response.close()
    connection.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the connection closed in the middle of the answer"
    if isinstance(error, ConnectionResetError | BrokenPipeError | http.client.RemoteDisconnected):
        return "the server closed the connection"
    return f"{type(error).__name__}: {error}"


def _usage_of(reply: Reply) -> tuple[int, int]:
    """Prompt and completion tokens as the server counts them; of a stream, the last usage."""
    if b'"usage"' not in reply.body:
        return 0, 0
    try:
        values = reply.chunks() if reply.is_events else [reply.json()]
    except Failed:
        return 0, 0
    for value in reversed(values):
        usage = value.get("usage")
        if isinstance(usage, dict):
            return _whole(usage.get("prompt_tokens")), _whole(usage.get("completion_tokens"))
    return 0, 0


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
