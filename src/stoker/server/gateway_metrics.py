"""How the prompts of a deployment were read, as its gateway counts it at ``/metrics``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from stoker.certificates.client_trust import http_connection
from stoker.server import own_key

#: The gateway is on this machine: it answers in milliseconds, or it is stuck.
_WITHIN_S = 1.0
_MOST_BYTES = 4_000_000
_SAMPLE = re.compile(
    rb"^stoker_(?:prefill_(tokens|saved_seconds)|prompt_tokens_(restored))_total\{(.*)\} (\S+)$",
    re.MULTILINE,
)
_GAUGE = re.compile(rb"^stoker_prompt_tokens_(reading|unread) (\S+)$", re.MULTILINE)
_KIND = re.compile(rb'kind="(\w+)"')


@dataclass(frozen=True, slots=True)
class PrefillTotals:
    """The tokens of all prompts since the gateway was started."""

    read_tokens: int
    cached_tokens: int
    #: Of those read: what the engine had read before, and no longer had.
    wasted_tokens: int
    #: How long reading the cached ones would have taken.
    saved_s: float
    #: What the engine got from files when it was started.
    restored_tokens: int = 0
    #: Of the prompts that are being read now: their tokens, and those that are still to be read.
    reading_tokens: int = 0
    unread_tokens: int = 0


def prefill_totals(endpoint: str) -> PrefillTotals | None:
    """The totals of the gateway at ``endpoint``; ``None`` where it is silent or wants a key."""
    metrics = _metrics(endpoint)
    try:
        return totals_in(metrics) if metrics is not None else None
    except ValueError:
        return None


def totals_in(metrics: bytes) -> PrefillTotals:
    """The totals over all models. Raises ``ValueError`` where a count is no number."""
    sums: dict[bytes, float] = {}
    for prefill, restored, labels, value in _SAMPLE.findall(metrics):
        kind = _KIND.search(labels)
        key = kind[1] if kind else prefill or restored
        sums[key] = sums.get(key, 0.0) + float(value)
    now = {name: int(float(value)) for name, value in _GAUGE.findall(metrics)}
    kinds = (b"read", b"cached", b"wasted", b"restored")
    read, cached, wasted, restored = (int(sums.get(kind, 0)) for kind in kinds)
    saved_s = sums.get(b"saved_seconds", 0.0)
    reading, unread = now.get(b"reading", 0), now.get(b"unread", 0)
    return PrefillTotals(read, cached, wasted, saved_s, restored, reading, unread)


def _metrics(endpoint: str) -> bytes | None:
    import http.client  # noqa: PLC0415  (30 ms that most commands do without)

    url = urlsplit(endpoint)
    connection = http_connection(url.scheme, url.netloc, _WITHIN_S)
    try:
        connection.request("GET", "/metrics", headers=own_key.headers())
        answer = connection.getresponse()
        return answer.read(_MOST_BYTES) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
