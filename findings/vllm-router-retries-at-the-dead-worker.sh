#!/bin/sh
# vllm-router: after a worker died, all retries of a request go to it again, and the client gets 500.
#
# Software: vllm-router 0.1.17 (from PyPI), with two small HTTP servers as workers.
#
# Behaviour: with the default policy, cache_aware, a conversation goes to one worker. If that worker
# dies, the router repeats the refused request, each time at the dead worker again, five times out of
# five, though the other one is idle. The client gets 500, and so does the next one. Ten refused
# connections open the circuit breaker (--cb-failure-threshold, 10 by default), and only then the
# other worker is asked. With --cb-failure-threshold 1, or in round robin, every request is answered.
#
# Seen:
#   default flags: before 200 200, after the kill 500 500 200 200
#   --cb-failure-threshold 1: before 200 200, after the kill 200 200 200 200
#   --policy round_robin: before 200 200, after the kill 200 200 200 200
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes about half a minute. Needs Python 3.10 or newer with pip, on Linux.
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


def chats(router, turns):
    """One conversation that goes on."""
    found = []
    for turn in turns:
        said = "A long conversation. " * 20 + f"Turn {turn}."
        body = {"model": "m", "messages": [{"role": "user", "content": said}]}
        found.append(ask(router, "/v1/chat/completions", body))
    return found


def served_by(answers):
    return json.loads(answers[-1][1])["choices"][0]["message"]["content"]


def statuses(answers):
    return " ".join(str(status) for status, _ in answers)


def tried(name, *flags):
    with contextlib.ExitStack() as ending:

        def start(*command):
            process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
            ending.callback(process.wait)
            ending.callback(process.kill)
            return process

        workers = {port: start(WORKER, str(port)) for port in (free_port(), free_port())}
        for port in workers:
            wait_for(port, "/health")
        router = free_port()
        urls = [f"http://127.0.0.1:{port}" for port in workers]
        start(
            "-m", "vllm_router.launch_router", "--host", "127.0.0.1", "--port", str(router),
            "--prometheus-port", str(free_port()), "--worker-urls", *urls, *flags,
        )  # fmt: skip
        wait_for(router, "/liveness")
        before = chats(router, range(2))
        workers[int(served_by(before))].kill()
        after = chats(router, range(2, 6))
        line = f"{name}: before {statuses(before)}, after the kill {statuses(after)}"
        print(line, flush=True)
        return line


def main():
    well = "before 200 200, after the kill 200 200 200 200"
    expected = [
        "default flags: before 200 200, after the kill 500 500 200 200",
        f"--cb-failure-threshold 1: {well}",
        f"--policy round_robin: {well}",
    ]
    found = [
        tried("default flags"),
        tried("--cb-failure-threshold 1", "--cb-failure-threshold", "1"),
        tried("--policy round_robin", "--policy", "round_robin"),
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
