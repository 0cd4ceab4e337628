"""What of an engine that runs can be reached, and by whom."""

from __future__ import annotations

import ipaddress
import urllib.error
import urllib.request

import psutil


def listening(engine: psutil.Process) -> set[tuple[str, int]]:
    """The addresses on which the engine and its processes accept connections."""
    found = set()
    for process in (engine, *engine.children(recursive=True)):
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add((connection.laddr.ip, connection.laddr.port))
    return found


def reachable_from_outside(engine: psutil.Process) -> set[tuple[str, int]]:
    """Those of them that other machines reach."""
    return {at for at in listening(engine) if not ipaddress.ip_address(at[0]).is_loopback}


def answers_without_a_key(engine: psutil.Process, paths: tuple[str, ...]) -> dict[str, int]:
    """The statuses of paths that answer anything but 401 to a request without a key."""
    found = {}
    for _, port in listening(engine):
        if _status(f"http://127.0.0.1:{port}/", "GET", None) is None:
            continue  # it does not speak HTTP, and each try would wait
        for path in paths:
            for method, body in (("GET", None), ("POST", b"{}")):
                status = _status(f"http://127.0.0.1:{port}{path}", method, body)
                if status is not None and status != 401:
                    found[f"{method} {path} at {port}"] = status
    return found


def _status(url: str, method: str, body: bytes | None) -> int | None:
    """The status of the answer; ``None`` where the port does not speak HTTP."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return None
