"""Where traces are sent, and how many."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from urllib.parse import urlsplit

#: Where a collector takes traces over HTTP:
#: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
_PATH = "/v1/traces"
_PACKAGE = "opentelemetry.exporter.otlp.proto.http"


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """``url`` is the collector's, as OTLP over HTTP; ``sample_ratio`` is between 0 and 1."""

    url: str
    sample_ratio: float = 1.0


def collector_url(url: str) -> str:
    """The whole URL of a collector: one without a path gets the usual one."""
    return url.rstrip("/") + _PATH if urlsplit(url).path in ("", "/") else url


def is_installed() -> bool:
    """Whether the packages of the extra ``traces`` are there."""
    try:
        return importlib.util.find_spec(_PACKAGE) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False
