"""A recorded trace of requests: what ``stoker usage --trace`` prints."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from stoker.errors import StokerError
from stoker.sizing.workload import AGENT, CHAT, COMPLETION, ArrivingRequest

_COLUMNS = ("arrived_s", "prompt_tokens", "completion_tokens")
#: More would take longer to simulate than a day of hundreds of developers does.
MOST_ROWS = 500_000
#: Tokens of one prompt or answer: the longest context that any model claims (Llama 4 Scout's).
_MOST_TOKENS = 10_000_000
#: Seconds since 1970 in the year 5138: a larger number is no time in seconds.
_LATEST_S = 1e11
_COMPLETION_PATHS = ("/v1/completions", "/infill", "/v1/fim/completions")
#: Prompts of agents begin with their tools, 13,756 tokens of them in VS Code.
_LEAST_AGENT_TOKENS = 8000
_FIX = "Export it with: stoker usage --trace > trace.csv"


@dataclass(frozen=True, slots=True)
class _Row:
    at_s: float
    session: str
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    kind: str


def read_trace(lines: Iterable[str], name: str = "The trace") -> Sequence[ArrivingRequest]:
    """The requests of a CSV file, in the order of arrival, the first at 0 s.

    Columns are those of ``docs/usage.md``; requests that failed or whose tokens are not known are
    left out. A session goes on as long as its prompts grow: a shorter prompt has dropped the
    conversation and keeps only what its cached tokens show. Raises ``StokerError`` for a file that
    is not such a trace, for times or lengths that can't be, and for one with too many rows.
    """
    rows = sorted(_rows(lines, name), key=lambda row: row.at_s)
    if not rows:
        raise StokerError(f"{name} has no answered request.", "Nothing can be sized by it.", _FIX)
    return _as_requests(rows)


def _rows(lines: Iterable[str], name: str) -> Iterator[_Row]:
    reader = csv.DictReader(lines)
    with _csv_errors(reader, name):
        yield from _rows_of(reader, name)


def _rows_of(reader: csv.DictReader[str], name: str) -> Iterator[_Row]:
    missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise StokerError(
            f"{name} is not a trace of requests.", f"It has no column {', '.join(missing)}.", _FIX
        )
    for number, values in enumerate(reader):
        if number >= MOST_ROWS:
            raise StokerError(
                f"{name} has more than {MOST_ROWS:,} requests.",
                "Simulating them would take minutes.",
                "Export less: stoker usage --trace --since 1d",
            )
        if _was_answered(values):
            # Line 1 has the names of the columns.
            yield _row(values, f"{name}, line {number + 2}")


@contextmanager
def _csv_errors(reader: csv.DictReader[str], name: str) -> Iterator[None]:
    """What csv itself refuses, such as a field of more than 128 KB, as a ``StokerError``."""
    try:
        yield
    except csv.Error as error:
        raise StokerError(
            f"{name}, line {reader.line_num}: it is not CSV.",
            f"{str(error).capitalize()}.",
            "Correct the line, or leave it out.",
        ) from None


def _was_answered(values: Mapping[str, str | None]) -> bool:
    known = all(values.get(column) for column in _COLUMNS)
    return known and (values.get("status") or "200") == "200"


def _row(values: Mapping[str, str | None], place: str) -> _Row:
    prompt = _number(values, "prompt_tokens", place, _MOST_TOKENS, least=1)
    cached = _number(values, "cached_tokens", place, _MOST_TOKENS)
    output = _number(values, "completion_tokens", place, _MOST_TOKENS)
    return _Row(
        at_s=_number(values, "arrived_s", place, _LATEST_S),
        session=values.get("session") or "",
        prompt_tokens=int(prompt),
        cached_tokens=int(min(cached, prompt)),
        output_tokens=max(1, int(output)),
        kind=_kind(values.get("path") or "", prompt),
    )


def _number(
    values: Mapping[str, str | None], column: str, place: str, most: float, least: float = 0.0
) -> float:
    text = values.get(column) or "0"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise StokerError(
            f"{place}: {column} is {text[:40]!r}.",
            f"It must be a number from {least:g} to {most:,.0f}.",
            "Correct the line, or leave it out.",
        )
    return number


def _kind(path: str, prompt_tokens: float) -> str:
    if path.endswith(_COMPLETION_PATHS):
        return COMPLETION
    return AGENT if prompt_tokens >= _LEAST_AGENT_TOKENS else CHAT


def _as_requests(rows: Sequence[_Row]) -> list[ArrivingRequest]:
    """Requests with the conversations that their sessions and lengths show."""
    start_s = rows[0].at_s
    last: dict[str, ArrivingRequest] = {}
    requests: list[ArrivingRequest] = []
    for number, row in enumerate(rows, start=1):
        before = last.get(row.session) if row.session else None
        grows = before is not None and row.prompt_tokens > before.prompt_tokens
        session = before.session if before is not None and grows else number
        # What a new conversation found in the cache is a head that others had, too.
        head_tokens = before.head_tokens if before is not None and grows else row.cached_tokens
        request = ArrivingRequest(
            at_s=row.at_s - start_s,
            session=session,
            prompt_tokens=row.prompt_tokens,
            output_tokens=row.output_tokens,
            kind=row.kind,
            head=row.kind if head_tokens else "",
            head_tokens=head_tokens,
        )
        if row.session:
            last[row.session] = request
        requests.append(request)
    return requests
