"""Which port is free, and which program holds one that is not."""

from __future__ import annotations

import contextlib
import socket

import psutil

from stoker.errors import StokerError


def is_free(bind: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server itself does: connections of an earlier run in TIME_WAIT don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError:
            return False
    return True


def any_free() -> int:
    """A loopback port that is free now, for an engine that needs one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def next_free(bind: str, port: int) -> int | None:
    """The first free port above ``port``."""
    return next((p for p in range(port + 1, min(port + 200, 65536)) if is_free(bind, p)), None)


def holder(port: int) -> str | None:
    """The program that listens on ``port``, as "name (pid N)", where the system reveals it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            ours = getattr(connection.laddr, "port", None) == port
            if listens and ours and connection.pid is not None:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def require_free(bind: str, port: int) -> None:
    """Raise a ``StokerError`` that names the holder and the next free port."""
    if is_free(bind, port):
        return
    if not _is_local(bind):
        raise StokerError(
            f"This machine has no address {bind}.",
            "A server can only listen on an address of the machine that it runs on.",
            "Use --bind 127.0.0.1 (this machine only) or --bind 0.0.0.0 (every address).",
        )
    if port < 1024 and holder(port) is None:
        raise StokerError(
            f"Port {port} can't be opened.",
            "Ports below 1024 are for the system's own services.",
            "Choose another, for example --port 8000.",
        )
    other = next_free(bind, port)
    raise StokerError(
        f"Port {port} is taken.",
        f"{holder(port) or 'Another program'} listens on it.",
        f"Use the next free one: --port {other}." if other else "Choose another with --port.",
    )


def _is_local(bind: str) -> bool:
    return is_free(bind, 0)
