"""What waits in a replica's container until its requests have ended."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import pytest

from stoker.deploy.kubernetes.in_pod import drain

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
PROGRAM = Path(str(files("stoker.deploy.kubernetes"))) / "in_pod" / "drain.py"


def metrics(running: float, waiting: float) -> str:
    """As vLLM 0.32 prints them, with their neighbours."""
    label = '{engine="0",model_name="m"}'
    return (
        f"# TYPE {RUNNING} gauge\n{RUNNING}{label} {running}\n{WAITING}{label} {waiting}\n"
        f"vllm:num_requests_waiting_by_reason{label} 7.0\nvllm:num_preemptions_total{label} 5.0\n"
    )


@contextmanager
def server(answers: list[str]) -> Iterator[int]:
    """A server that gives one answer after the other, and the last one for ever."""

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (answers.pop(0) if len(answers) > 1 else answers[0]).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Metrics)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield httpd.server_address[1]
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def test_counts_what_runs_and_what_waits_and_nothing_else() -> None:
    with server([metrics(2, 3)]) as port:
        assert drain.requests_left(port, "/metrics", (RUNNING, WAITING)) == 5


def test_waits_until_the_last_request_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_POLL_S", 0.01)
    answers = [metrics(2, 1), metrics(0, 1), metrics(1, 0), metrics(0, 0)]
    with server(answers) as port:
        drain.main(str(port), "/metrics", "0", RUNNING, WAITING)
    assert answers == [metrics(0, 0)]


def test_runs_by_itself_as_the_container_runs_it() -> None:
    with server([metrics(0, 0)]) as port:
        command = (sys.executable, "-I", PROGRAM, str(port), "/metrics", "0", RUNNING, WAITING)
        assert subprocess.run(command, check=False, timeout=20).returncode == 0


def test_a_server_that_is_gone_has_no_request_left() -> None:
    with server([metrics(1, 0)]) as port:
        pass
    assert drain.requests_left(port, "/metrics", (RUNNING, WAITING)) == 0
