"""A real llama.cpp server in a process of its own, for tests that start, stop and kill it.

Usage: python serve_llama.py '{"model": PATH, "n_ctx": TOKENS, "slots": N, "port": PORT, ...}'.
Answers are the same each time and ``n_predict`` tokens long. Ends when it is killed.
"""

from __future__ import annotations

import json
import signal
import sys

import xllamacpp


def main() -> None:
    wanted = json.loads(sys.argv[1])
    params = xllamacpp.CommonParams()
    params.model.path = wanted["model"]
    params.n_ctx = wanted["n_ctx"] * wanted["slots"]
    params.n_parallel = wanted["slots"]
    params.n_predict = wanted["n_predict"]
    params.n_batch = wanted.get("n_batch", params.n_batch)
    params.sampling.temp = 0.0
    # The small model would sometimes end before its first word: it writes n_predict tokens.
    params.sampling.ignore_eos = wanted["ignore_eos"]
    params.hostnames = ["127.0.0.1"]
    params.port = wanted["port"]
    params.model_alias = {wanted["alias"]}
    params.use_jinja = True
    params.chat_template = wanted["chat_template"]
    params.force_pure_content_parser = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
