#!/bin/sh
# vllm-router: a worker that never started counts as healthy, and after some starts /v1/models answers
# 500 because of it, after others 200.
#
# Software: vllm-router 0.1.17 (from PyPI), with one small HTTP server as the worker that runs.
#
# Behaviour: the router waits until one of its workers is healthy. All others count as healthy too,
# though nothing listens at their addresses: /health says "All servers healthy", and /readiness
# counts them. /v1/models asks a single worker, which each start of the router chooses again,
# whatever the order of the addresses: with one of two absent, it answers 500 every time after about
# half of the starts. This lasts until three health checks have failed, up to three minutes with
# default flags. With a check each second, of which one failure is enough, it lasts two seconds.
#
# Seen:
#   just started: All servers healthy; 2 of 2 ready
#   /v1/models after some starts: 200 200 200
#   /v1/models after other starts: 500 500 500
#   checked each second: Unhealthy servers; 1 of 2 ready; /v1/models 200 200 200
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes up to a minute. Needs Python 3.10 or newer with pip, on Linux.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' HUP INT TERM
python3 -m pip install -qq --target "$folder/lib" \
  vllm-router==0.1.17 || exit 2
cat > "$folder/worker.py" <<'PYTHON'
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Worker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer({"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": str(self.server.server_port)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self.answer({"object": "chat.completion", "choices": [choice]})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Worker).serve_forever()
PYTHON
cat > "$folder/try.py" <<'PYTHON'
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

WORKER = sys.argv[1]
#: Both kinds of start are seen but for one run of the script in 30,000.
STARTS = 16


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ask(port, path, body=None):
    """The status and the text of an answer; 0 where nobody answers."""
    url = f"http://127.0.0.1:{port}{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError:
        return 0, ""


def wait_for(port, path):
    for _ in range(300):
        if ask(port, path)[0] == 200:
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {path}")


def tried(*flags, after_s=0):
    """What a fresh router reports: of its health, and three times of its models."""
    with contextlib.ExitStack() as ending:

        def start(*command):
            process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
            ending.callback(process.wait)
            ending.callback(process.kill)

        running, router = free_port(), free_port()
        start(WORKER, str(running))
        wait_for(running, "/health")
        absent = free_port()  # nobody listens there
        urls = [f"http://127.0.0.1:{port}" for port in (absent, running)]
        start(
            "-m", "vllm_router.launch_router", "--host", "127.0.0.1", "--port", str(router),
            "--prometheus-port", str(free_port()), "--worker-urls", *urls, *flags,
        )  # fmt: skip
        wait_for(router, "/liveness")
        time.sleep(after_s)
        health = ask(router, "/health")[1].partition(":")[0]
        ready = json.loads(ask(router, "/readiness")[1])
        counted = f"{ready['healthy_workers']} of {ready['total_workers']} ready"
        models = " ".join(str(ask(router, "/v1/models")[0]) for _ in range(3))
        return f"{health}; {counted}", models


def main():
    healths, models = set(), set()
    for _ in range(STARTS):
        health, listed = tried()
        healths.add(health)
        models.add(listed)
        if len(models) > 1:
            break
    often = ("--health-check-interval-secs", "1", "--health-failure-threshold", "1")
    checked = tried(*often, after_s=5)
    found = [f"just started: {health}" for health in sorted(healths)]
    kinds = ("some", "other")
    found += [f"/v1/models after {k} starts: {m}" for k, m in zip(kinds, sorted(models))]
    found.append(f"checked each second: {'; /v1/models '.join(checked)}")
    print("\n".join(found))
    expected = [
        "just started: All servers healthy; 2 of 2 ready",
        "/v1/models after some starts: 200 200 200",
        "/v1/models after other starts: 500 500 500",
        "checked each second: Unhealthy servers; 1 of 2 ready; /v1/models 200 200 200",
    ]
    print("as described" if found == expected else "CHANGED")
    return 0 if found == expected else 1


sys.exit(main())
PYTHON
PYTHONPATH="$folder/lib" python3 "$folder/try.py" "$folder/worker.py" 2> "$folder/log" || {
  code=$?
  grep -A 20 Traceback "$folder/log" || exit "$code"
  exit 2
}
