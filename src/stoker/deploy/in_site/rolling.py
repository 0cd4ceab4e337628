"""Take a replica out of its routers when it has answered what it has begun, and put it back.

``rolling.py leave WORKER ROUTER...`` and ``rolling.py join WORKER ROUTER...``, all addresses; with
no router, ``join`` only waits until the replica can answer. It is copied into a site's folder and
runs beside the routers, so it imports nothing but the standard library. The key that the replica
asks for is in the variable ``VLLM_API_KEY``.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

#: vLLM's metrics of requests that run, and of those that wait.
_METRICS = re.compile(r"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? +([0-9.e+]+)", re.M)
_POLL_S = float(os.environ.get("ROLLING_POLL_S", "1"))
#: Idle at so many looks in a row: a request may be between the router and the replica.
_IDLE_LOOKS = 3
#: Running answers are waited for this long, and a start with its download and compilation.
_IDLE_WITHIN_S = float(os.environ.get("ROLLING_IDLE_WITHIN_S", "900"))
_READY_WITHIN_S = float(os.environ.get("ROLLING_READY_WITHIN_S", "7200"))
#: A router asks a new worker for its health before it answers.
_TIMEOUT_S = 60.0


def leave(worker: str, routers: list[str]) -> None:
    """Give the replica nothing new, and wait until it works on nothing."""
    for router in routers:
        if worker in _workers(router):
            _ask("POST", f"{router}/remove_worker?url={quote(worker, safe='')}")
    deadline, idle = time.monotonic() + _IDLE_WITHIN_S, 0
    while idle < _IDLE_LOOKS:
        if time.monotonic() > deadline:
            sys.exit(f"{worker} still works on {_under_way(worker):.0f} requests. Run this again.")
        idle = idle + 1 if _under_way(worker) == 0 else 0
        time.sleep(_POLL_S)
    print(f"{worker} is idle", flush=True)


def join(worker: str, routers: list[str]) -> None:
    """Wait until the replica can answer, then let the routers send to it."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while not _is_ready(worker):
        if _has_ended():
            sys.exit(f"{worker} ended before it was ready. Its log has the reason.")
        if time.monotonic() > deadline:
            sys.exit(f"{worker} is not ready. Look at its log, then run this again.")
        time.sleep(_POLL_S)
    for router in routers:
        if worker not in _workers(router):
            _ask("POST", f"{router}/add_worker?url={quote(worker, safe='')}")
    print(f"{worker} answers", flush=True)


def _workers(router: str) -> list[str]:
    found: list[str] = json.loads(_ask("GET", f"{router}/list_workers"))["urls"]
    return found


def _under_way(worker: str) -> float:
    """The requests that it works on, or that wait in it; none where it does not run.

    One that is too busy to answer works on at least one.
    """
    try:
        text = _ask("GET", f"{worker}/metrics", key=os.environ.get("VLLM_API_KEY", ""))
    except HTTPError as error:
        if error.code == HTTPStatus.UNAUTHORIZED:
            sys.exit(f"{worker} refuses the key in VLLM_API_KEY.")
        sys.exit(f"{worker} answers {error.code} at /metrics.")
    except TimeoutError:
        return 1.0
    except URLError as error:
        return 1.0 if isinstance(error.reason, TimeoutError) else 0.0
    except OSError:  # it ends at this moment
        return 0.0
    counts = _METRICS.findall(text)
    if not counts:
        sys.exit(f"{worker} reports no number of requests at /metrics.")
    return sum(float(count) for count in counts)


def _is_ready(worker: str) -> bool:
    """Whether it answers; a router, whose ``/health`` is of all replicas, by its ``/readiness``."""
    return _answers(f"{worker}/health") or _answers(f"{worker}/readiness")


def _answers(url: str) -> bool:
    try:
        _ask("GET", url)
    except OSError:
        return False
    return True


def _has_ended() -> bool:
    """Whether the process has ended that systemd started and now waits for."""
    process = os.environ.get("MAINPID")
    return process is not None and not os.path.exists(f"/proc/{process}")  # noqa: PTH110


class _NoRedirect(HTTPRedirectHandler):
    """A replica that redirects would get the key sent elsewhere: it is an ``HTTPError`` instead."""

    def redirect_request(self, *_: object) -> None:
        """Nowhere."""


def _ask(method: str, url: str, key: str = "") -> str:
    head = {"Authorization": f"Bearer {key}"} if key else {}
    request = Request(url, method=method, headers=head)  # noqa: S310  (an address of the site)
    with build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S) as answer:
        text: str = answer.read().decode()
        return text


def main(arguments: list[str]) -> None:
    """Exit 0 where it was done, 1 where it failed, and 2 for wrong arguments."""
    actions = {"leave": leave, "join": join}
    if len(arguments) < 2 or arguments[0] not in actions:
        print("usage: rolling.py leave|join WORKER [ROUTER...]", file=sys.stderr)
        sys.exit(2)
    actions[arguments[0]](arguments[1], arguments[2:])


if __name__ == "__main__":
    main(sys.argv[1:])
