"""What a request to a path that does not exist was meant for, by the commonest mistakes."""

from __future__ import annotations

import re
from collections.abc import Collection

_VERSION = "/v1"


def hint(path: str, known: Collection[str]) -> str:
    """The path that was meant, and what to change for it; empty where neither is clear."""
    clean = re.sub("/+", "/", path).rstrip("/")
    once = re.sub(rf"^({_VERSION}){{2,}}/", f"{_VERSION}/", clean)
    if once != clean and once in known:
        return f"Use {once}: the base URL ends with {_VERSION}, and the client adds one more."
    if _VERSION + clean in known:
        return f"Use {_VERSION}{clean}: add {_VERSION} to the base URL."
    if clean.startswith(f"{_VERSION}/") and clean.removeprefix(_VERSION) in known:
        return f"Use {clean.removeprefix(_VERSION)}: it has no {_VERSION} before it."
    if clean in known:
        return f"Use {clean}."
    if clean.startswith("/api/"):
        return f"The gateway has no API of Ollama's: use the one of OpenAI, below {_VERSION}."
    return ""
