"""The trace that a request belongs to, as W3C's headers name it: https://www.w3.org/TR/trace-context/"""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT = "traceparent"
TRACESTATE = "tracestate"
#: Version 00; the ids of a trace and of a span are not all zeros.
_PARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
#: What others keep with a trace: printable, and as long as every receiver must take.
_STATE = re.compile(r"[ -~]{1,512}")


def trace_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace's headers of a request, as they may be sent on; none where they are not valid."""
    parent = headers.get(TRACEPARENT)
    if parent is None or not _PARENT.fullmatch(parent):
        return {}
    state = headers.get(TRACESTATE, "")
    return {TRACEPARENT: parent, **({TRACESTATE: state} if _STATE.fullmatch(state) else {})}
