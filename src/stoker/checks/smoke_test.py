"""Ask a model one question through its public endpoint, and time the streamed answer."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stoker.certificates.client_trust import http_connection
from stoker.errors import StokerError

#: A CPU that reads 10 tokens a second needs 10 s for a short question; this is 12 times as long.
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """The answer and its speed; ``ttft_s`` is the time to the first piece of text."""

    text: str
    completion_tokens: int
    ttft_s: float
    tokens_per_s: float | None


def ask(
    endpoint: str,
    model: str,
    question: str,
    *,
    max_tokens: int,
    headers: Mapping[str, str],
) -> Generator[str, None, SmokeTest]:
    """Yield each piece of the answer to ``question`` as it comes; return what was measured.

    ``headers`` hold the key, where the endpoint needs one.
    Raises ``StokerError`` where the endpoint refuses, breaks off or sends an empty answer.
    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    started = time.perf_counter()
    first: float | None = None
    last = started
    text: list[str] = []
    usage: dict[str, Any] = {}
    for event in _events(endpoint, body, headers):
        usage = event.get("usage") or usage
        piece = "".join(c.get("delta", {}).get("content") or "" for c in event.get("choices", []))
        if not piece:
            continue
        last = time.perf_counter()
        first = first or last
        text.append(piece)
        yield piece
    if first is None:
        raise StokerError(
            "The model sent an empty answer.",
            f"{endpoint} accepted the question, and its stream had no text.",
            "See the engine's log: stoker logs.",
        )
    tokens = int(usage.get("completion_tokens", len(text)))
    rate = (tokens - 1) / (last - first) if tokens > 1 and last > first else None
    return SmokeTest("".join(text), tokens, first - started, rate)


def _events(
    endpoint: str, body: dict[str, Any], headers: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    url = urlsplit(endpoint)
    connection = http_connection(url.scheme, url.netloc, _TIMEOUT_S)
    try:
        connection.request(
            "POST",
            f"{url.path}/v1/chat/completions",
            json.dumps(body),
            {"Content-Type": "application/json", **headers},
        )
        response = connection.getresponse()
        if response.status != 200:
            body_text = response.read(2000).decode("utf-8", errors="replace")
            raise StokerError(
                f"The endpoint refused a chat with status {response.status}.",
                f"Its answer: {body_text}",
                "See the engine's log: stoker logs.",
            )
        for line in response:
            if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                yield json.loads(line[6:])
    except (OSError, http.client.HTTPException) as error:
        raise StokerError(
            f"The connection to {endpoint} failed.",
            f"{type(error).__name__}: {error}.",
            "See the engine's log: stoker logs.",
        ) from error
    finally:
        connection.close()
