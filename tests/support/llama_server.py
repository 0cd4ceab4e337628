"""``llama-server``: llama.cpp's own command line in front of its own server, out of xllamacpp.

The wheel has both and no program around them. It is the entrypoint of the tests' image, where
neither Stoker nor pytest is: it imports nothing of them.
"""

from __future__ import annotations

import ctypes
import signal
import sys

import xllamacpp
from xllamacpp import xllamacpp as compiled

#: ``LLAMA_EXAMPLE_SERVER`` (common/common.h).
_SERVER = 12
#: What Python keeps of an object before its own fields: a count and a type.
_HEAD_BYTES = 16


def parsed(arguments: list[str]) -> xllamacpp.CommonParams:
    """The parameters that llama.cpp reads from a command line and its environment.

    Raises ``SystemExit`` where it refuses it; llama.cpp has printed why.
    """
    library = ctypes.CDLL(compiled.__file__)
    parse = library._Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E
    parse.restype = ctypes.c_bool
    params = xllamacpp.CommonParams()
    words = [b"llama-server", *(word.encode() for word in arguments)]
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    inside = ctypes.c_void_p(id(params) + _HEAD_BYTES)
    if not parse(len(words), argv, inside, _SERVER, None):
        sys.exit(1)
    return params


def main() -> None:
    """Serve until the order to stop."""
    server = xllamacpp.Server(parsed(sys.argv[1:]))
    print(f"main: server is listening on {server.listening_address}", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
