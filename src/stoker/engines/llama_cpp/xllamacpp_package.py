"""The llama.cpp that is installed with Stoker (xllamacpp): whether it is there, what it can use."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

from stoker.errors import StokerError


def installed() -> bool:
    """Whether the embedded llama.cpp can be started here."""
    return importlib.util.find_spec("xllamacpp") is not None


def not_installed() -> StokerError:
    """What to do where it can't be started."""
    return StokerError(
        "The embedded llama.cpp is not installed.",
        "The package xllamacpp is missing from this Python.",
        "Install it: pip install 'stoker[embedded]'.",
    )


def offloads() -> bool:
    """Whether the installed llama.cpp finds a GPU that it was built for; about half a second.

    It is asked in a process of its own, because loading it can fail in native code.
    """
    asked = (
        "import xllamacpp\n"
        "cpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_CPU\n"
        "print(any(d['type'] != cpu for d in xllamacpp.get_device_info()))"
    )
    try:
        argv = [sys.executable, "-c", asked]
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.strip() == "True"
