"""The child process in which llama.cpp runs: its settings come in on standard input.

A process of its own, because a crash in native code must not take the gateway down. Standard
input carries one line of JSON (the key is in it, so it shows in no process list) and is then
watched: when it ends, the supervisor is gone, and the child ends too, freeing the memory.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

#: With its own number (b11549 on 2 cores), some tens of tokenizations at once over as many
#: connections left the next request waiting for 5 to 30 s; with this many, none waits.
HTTP_THREADS = 64


def configure(params: Any, spec: dict[str, Any]) -> None:
    """Set llama.cpp's parameters from ``spec``; a dotted name sets a field of a sub-structure."""
    params.model.path = spec["model"]
    params.model_alias = {spec["alias"]}
    params.hostnames = ["127.0.0.1"]
    params.port = spec["port"]
    params.api_keys = [spec["key"]]
    params.use_jinja = True
    params.ui = False
    params.n_threads_http = HTTP_THREADS
    for name, value in spec["arguments"].items():
        *parents, leaf = name.split(".")
        target = params
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, leaf, _kinds(value) if name == "speculative.types" else value)


def _kinds(names: str) -> list[Any]:
    """The kinds of drafts that ``--spec-type`` of llama.cpp calls ``none`` or ``draft-mtp``."""
    from xllamacpp.xllamacpp import common_speculative_type as kinds  # noqa: PLC0415  (slow)

    prefix = "COMMON_SPECULATIVE_TYPE_"
    return [kinds[prefix + name.upper().replace("-", "_")] for name in names.split(",")]


def _end_with_parent() -> None:
    """Have Linux kill this process when its parent ends: a stopped one reads no standard input."""
    import ctypes  # noqa: PLC0415  (only for this)

    pr_set_pdeathsig = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


def main() -> None:
    """Serve until standard input ends or SIGTERM comes."""
    spec = json.loads(sys.stdin.readline())
    if spec.get("ends_with_parent"):
        _end_with_parent()
    os.umask(0o077)  # what it saves of its slots is as private as the conversations in it
    # Ctrl-C in a foreground `up` is the supervisor's to handle: it stops this process in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    import xllamacpp  # noqa: PLC0415  (slow to import: only after the settings were read)

    params = xllamacpp.CommonParams()
    configure(params, spec)
    server = xllamacpp.Server(params)
    print(f"stoker: ready on {server.listening_address}", file=sys.stderr, flush=True)
    sys.stdin.read()
    os._exit(0)  # the native threads hold no state worth an orderly end


if __name__ == "__main__":
    main()
