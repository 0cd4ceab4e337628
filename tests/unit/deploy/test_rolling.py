"""``rolling.py`` of a site, beside a router and a replica that answer over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from stoker.deploy.in_site import rolling

KEY = "sk-of-the-replica"


class Site(ThreadingHTTPServer):
    """A replica and its router at one address, with vllm-router's paths (0.1.17)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.workers: list[str] = []
        #: What ``/metrics`` reports in turn; the last one stays.
        self.running = [0.0]
        #: How often ``/health`` answers 503 first.
        self.unready = 0
        #: A router that has a replica, though not all of them: vLLM has no such path.
        self.router_is_ready = False
        #: What ``/metrics`` does in place of an answer.
        self.instead: Callable[[], object] | None = None
        #: Where ``/metrics`` sends those who ask.
        self.redirect_to = ""

    def running_now(self) -> float:
        return self.running.pop(0) if len(self.running) > 1 else self.running[0]


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if self.path == "/list_workers":
            self._answer(200, json.dumps({"urls": self.server.workers}))
        elif self.path == "/health":
            self.server.unready -= 1
            self._answer(503 if self.server.unready >= 0 else 200)
        elif self.path == "/readiness":
            self._answer(200 if self.server.router_is_ready else 404)
        elif self.headers.get("Authorization") != f"Bearer {KEY}":
            self._answer(401)
        elif self.server.redirect_to:
            self.send_response(307)
            self.send_header("Location", self.server.redirect_to)
            self.end_headers()
        elif self.server.instead is not None:
            self.server.instead()
        else:
            running = self.server.running_now()
            lines = [
                f'vllm:num_requests_running{{engine="0",model_name="m"}} {running}',
                'vllm:num_requests_waiting{engine="0",model_name="m"} 0.0',
                'vllm:num_requests_waiting_by_reason{reason="capacity"} 7.0',
            ]
            self._answer(200, "\n".join(lines) + "\n")

    def do_POST(self) -> None:
        (worker,) = parse_qs(urlsplit(self.path).query)["url"]
        change = {"/add_worker": self.server.workers.append}
        change["/remove_worker"] = self.server.workers.remove
        change[urlsplit(self.path).path](worker)
        self._answer(200, "done")

    def _answer(self, status: int, text: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "_POLL_S", 0.01)
    monkeypatch.setenv("VLLM_API_KEY", KEY)


def failure(*arguments: str) -> str:
    """What it prints as it ends with exit code 1."""
    with pytest.raises(SystemExit) as end:
        rolling.main(list(arguments))
    assert isinstance(end.value.code, str)  # printed, with exit code 1
    return end.value.code


def test_replica_leaves_its_routers_and_is_waited_for(site: Site) -> None:
    site.workers = [site.address, "http://other:8000"]
    site.running = [2.0, 1.0, 0.0]
    rolling.main(["leave", site.address, site.address])
    assert site.workers == ["http://other:8000"]
    assert site.running == [0.0]


def test_replica_that_stays_busy_is_an_error_and_can_be_asked_for_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "_IDLE_WITHIN_S", 0.1)
    site.running = [3.0]
    assert "still works on 3 requests" in failure("leave", site.address, site.address)


def test_one_idle_look_between_requests_is_not_enough(site: Site) -> None:
    site.running = [0.0, 1.0, 0.0, 0.0, 0.0, 9.0]
    rolling.main(["leave", site.address, site.address])
    assert site.running == [9.0]


def test_wrong_key_is_not_taken_for_idle(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "wrong")
    assert "refuses the key" in failure("leave", site.address, site.address)


def test_replica_that_does_not_run_is_idle(site: Site) -> None:
    site.workers = ["http://127.0.0.1:9"]
    rolling.main(["leave", "http://127.0.0.1:9", site.address])
    assert site.workers == []


def test_key_does_not_follow_a_redirect(site: Site) -> None:
    site.redirect_to = "http://127.0.0.1:9/metrics"
    assert "answers 307 at /metrics" in failure("leave", site.address)


def test_replica_that_ends_as_it_is_asked_is_idle(site: Site) -> None:
    site.instead = lambda: None  # the connection ends without an answer
    rolling.main(["leave", site.address, site.address])


def test_replica_that_is_too_busy_to_answer_is_not_idle(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "_TIMEOUT_S", 0.05)
    monkeypatch.setattr(rolling, "_IDLE_WITHIN_S", 0.2)
    ended = threading.Event()
    site.instead = lambda: ended.wait(5)
    try:
        assert "still works on 1 requests" in failure("leave", site.address)
    finally:
        ended.set()


def test_replica_joins_when_it_is_ready_and_only_once(site: Site) -> None:
    site.unready = 3
    for _ in range(2):
        rolling.main(["join", site.address, site.address])
    assert site.workers == [site.address]


def test_router_answers_while_one_of_its_replicas_does_not(site: Site) -> None:
    site.unready = 10**6
    site.router_is_ready = True
    rolling.main(["join", site.address])


def test_replica_that_is_never_ready_joins_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rolling, "_READY_WITHIN_S", 0.1)
    site.unready = 10**6
    assert "is not ready" in failure("join", site.address, site.address)
    assert site.workers == []


def test_process_that_ended_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINPID", str(2**22 + 1))
    site.unready = 10**6
    assert "ended before it was ready" in failure("join", site.address)


@pytest.mark.parametrize("arguments", [[], ["leave"], ["stop", "http://a"]])
def test_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        rolling.main(arguments)
    assert end.value.code == 2


def test_runs_by_itself_without_any_package() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", rolling.__file__], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: rolling.py leave|join")
