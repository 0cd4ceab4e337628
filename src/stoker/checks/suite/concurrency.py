"""Many requests at once, a very large one, and clients that disconnect."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

from stoker import engines
from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, TooLate
from stoker.checks.raw_http import Reply, Until
from stoker.checks.target import CHAT, Endpoint, accepted, answered, expect

table = Table("load", "Load, size and cancellation")
_CHAT = (Use.CHAT, Use.AGENT)
#: Requests that are cancelled at the same time.
_CANCELLED = 4
#: Tokens of each of them, if the server did not stop.
_LONG_TOKENS = 600
#: After a cancellation, a token may take at most this many paces longer than before.
_FREED_PACES = 3
_MEGABYTE = 1_000_000
_REFUSED_WITHIN_S = 30.0


@table.check(
    "one",
    "One short question is answered within 10 seconds.",
    why="A server that is slower when idle is too slow for an editor.",
    fix="See whether the machine is busy, and what `stoker plan` predicts for it.",
    helps=_CHAT,
)
def one(endpoint: Endpoint) -> str:
    taken_s = _one_token_s(endpoint)
    expect(taken_s <= 10, f"one token took {taken_s:.1f} s")
    return f"one token in {taken_s:.2f} s"


@table.check(
    "eight",
    "8 requests at once are all answered.",
    why="An editor asks for a chat, its title, progress messages and completions at the same time.",
    fix="Queue requests that can't run yet instead of refusing them.",
    needed_for=(Use.AGENT,),
    helps=(Use.CHAT,),
)
def eight(endpoint: Endpoint) -> str:
    return _at_once(endpoint, 8)


@table.check(
    "thirty-two",
    "32 requests at once are answered, or refused with a time to retry.",
    why="A team may share the server.",
    fix="Queue them, or answer 429 with `Retry-After`.",
)
def thirty_two(endpoint: Endpoint) -> str:
    return _at_once(endpoint, 32)


def _at_once(endpoint: Endpoint, count: int) -> str:
    began = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        replies = list(pool.map(lambda n: _answer_to(endpoint, n), range(count)))
    later = [r for r in replies if r.status in (429, 503) and "retry-after" in r.headers]
    wrong = [r for r in replies if not r.ok and r not in later]
    expect(not wrong, f"{len(wrong)} of {count} failed: {wrong[0].text if wrong else ''}")
    expect(count > 8 or not later, f"{len(later)} of {count} were refused with Retry-After")
    took = f"in {time.perf_counter() - began:.1f} s"
    return (
        f"all {took}"
        if not later
        else f"{count - len(later)} {took}, the others refused with Retry-After"
    )


def _answer_to(endpoint: Endpoint, number: int) -> Reply:
    reply = endpoint.chat(f"Say {number}.", max_tokens=1)
    if reply.ok:
        answered(reply)
    return reply


@table.check(
    "megabyte",
    "A prompt of 1 MB is answered or cleanly refused, and the server still works after it.",
    why="Users paste whole log files.",
    fix="Refuse large bodies with 413, and count tokens before the prompt is processed.",
    helps=_CHAT,
)
def megabyte(endpoint: Endpoint) -> str:
    text = "stoker " * (_MEGABYTE // 7)
    seen = "accepted; the check did not wait for the end"
    try:
        reply = endpoint.post(CHAT, endpoint.ask(text, max_tokens=1), limit_s=_REFUSED_WITHIN_S)
    except TooLate:
        reply = None
    if reply is not None:
        expect(reply.status in (200, 400, 413, 422), f"status {reply.status}: {reply.text}")
        seen = f"status {reply.status} after {reply.elapsed_s:.1f} s"
    answered(endpoint.chat("Hi", max_tokens=1))
    return seen


@table.check(
    "cancel-stream",
    "The server stops generating when the client closes a stream.",
    why="Pressing Stop must free the server for the next question.",
    fix="Stop generating when the connection closes; a proxy in between must close its own too.",
    helps=_CHAT,
)
def cancel_stream(endpoint: Endpoint) -> str:
    return _freed(endpoint, stream=True)


@table.check(
    "cancel-whole",
    "The server stops generating when the client drops a request that is not streamed.",
    why="Editors request titles and completions this way, and drop them while the user types.",
    fix="Watch the connection while generating.",
    helps=(Use.COMPLETION,),
)
def cancel_whole(endpoint: Endpoint) -> str:
    return _freed(endpoint, stream=False)


def _freed(endpoint: Endpoint, *, stream: bool) -> str:
    """Start long answers, cancel them all, and time the next answer."""
    before_s = _one_token_s(endpoint)
    running = _running(endpoint)
    cancel_after_s = max(endpoint.pace_s, 2 * before_s)
    freed_s = _FREED_PACES * endpoint.pace_s
    with ThreadPoolExecutor(_CANCELLED) as pool:
        until: Until | None = (lambda body: b"data:" in body) if stream else None
        numbers = range(_CANCELLED)
        list(pool.map(lambda n: _start(endpoint, n, stream, until, cancel_after_s), numbers))
    cancelled_at = time.perf_counter()
    after_s = _one_token_s(endpoint)
    expect(
        after_s <= before_s + freed_s,
        f"one token took {before_s:.2f} s before and {after_s:.1f} s after {_CANCELLED} requests "
        "were cancelled",
    )
    still = _settled(endpoint, running, cancelled_at + freed_s)
    expect(not still, f"{still} of them still ran {freed_s:.0f} s later")
    return f"one token took {before_s:.2f} s before and {after_s:.2f} s after"


def _start(
    endpoint: Endpoint, number: int, stream: bool, until: Until | None, limit_s: float
) -> None:
    # Different prompts, so that no cache answers them together; long enough not to end by itself.
    question = f"Write a long story about {number + 2} lighthouses."
    tokens = min(_LONG_TOKENS, endpoint.window // 2) if endpoint.window else _LONG_TOKENS
    body = endpoint.ask(question, max_tokens=tokens, stream=stream)
    try:
        reply = endpoint.post(CHAT, body, until=until, limit_s=limit_s)
    except TooLate:
        return  # it was still generating or queued, and the connection is closed now
    accepted(reply)


def _running(endpoint: Endpoint) -> float | None:
    """How many requests the engine reports as running; ``None`` where it does not."""
    try:
        reply = endpoint.get("/metrics", limit_s=5)
    except Failed:
        return None
    names = "|".join(map(re.escape, engines.running_metrics()))
    running = re.compile(rf"^(?:{names})(?:\{{[^}}]*\}})? ([0-9.e+]+)$".encode(), re.MULTILINE)
    found = running.findall(reply.body) if reply.ok else []
    return sum(map(float, found)) if found else None


def _settled(endpoint: Endpoint, before: float | None, until_s: float) -> int:
    """How many more requests run than before, at ``until_s`` or when none is left."""
    if before is None:
        return 0
    more = 0.0
    while time.perf_counter() < until_s:
        more = (_running(endpoint) or 0.0) - before
        if more <= 0:
            return 0
        time.sleep(0.2)
    return int(more)


def _one_token_s(endpoint: Endpoint) -> float:
    reply = endpoint.chat("Hi", max_tokens=1)
    answered(reply)
    return reply.elapsed_s
