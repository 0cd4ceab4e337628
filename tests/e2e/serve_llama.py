"""A real llama.cpp server in a process of its own, for tests that start, stop and kill it.

Usage: python serve_llama.py MODEL.gguf N_CTX SLOTS PORT [ALIAS]. Ends when it is killed.
"""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main() -> None:
    model, n_ctx, slots, port, *alias = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx = int(n_ctx) * int(slots)
    params.n_parallel = int(slots)
    params.hostnames = ["127.0.0.1"]
    params.port = int(port)
    params.use_jinja = True
    if alias:
        params.model_alias = {alias[0]}
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
