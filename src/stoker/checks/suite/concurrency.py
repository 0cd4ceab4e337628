"""Many at once, one very large, and those who leave."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

from stoker import engines
from stoker.checks.check import Table, Use
from stoker.checks.exceptions import Failed, TooLate
from stoker.checks.raw_http import Reply, Until
from stoker.checks.target import CHAT, Endpoint, accepted, answered, expect

table = Table("load", "Load, size and leaving")
_CHAT = (Use.CHAT, Use.AGENT)
_LEFT = 4
#: Each of those that are left would write this much if nobody stopped it.
_LONG_TOKENS = 600
#: A server that was freed answers one token as soon as it did before, and this much later at most.
_FREED_PACES = 3
_MEGABYTE = 1_000_000
_REFUSED_WITHIN_S = 30.0


@table.check(
    "one",
    "One short question is answered within 10 seconds.",
    why="It is what every other time is measured against.",
    fix="See whether the machine is busy, and `stoker plan` for what it can do.",
    helps=_CHAT,
)
def one(endpoint: Endpoint) -> str:
    taken_s = _one_token_s(endpoint)
    expect(taken_s <= 10, f"one token took {taken_s:.1f} s")
    return f"one token in {taken_s:.2f} s"


@table.check(
    "eight",
    "8 at once are all answered.",
    why="An editor has a chat, its title, its progress messages and completions under way at once.",
    fix="Queue what can't run at once instead of refusing it.",
    needed_for=(Use.AGENT,),
    helps=(Use.CHAT,),
)
def eight(endpoint: Endpoint) -> str:
    return _at_once(endpoint, 8)


@table.check(
    "thirty-two",
    "32 at once are answered, or told when to come again.",
    why="A team shares the server.",
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
    expect(count > 8 or not later, f"{len(later)} of {count} were told to come again")
    took = f"in {time.perf_counter() - began:.1f} s"
    return f"all {took}" if not later else f"{count - len(later)} {took}, the others told to wait"


def _answer_to(endpoint: Endpoint, number: int) -> Reply:
    reply = endpoint.chat(f"Say {number}.", max_tokens=1)
    if reply.ok:
        answered(reply)
    return reply


@table.check(
    "megabyte",
    "A prompt of 1 MB is answered or refused in order, and the server is well after it.",
    why="Somebody will paste a log file.",
    fix="Limit the body's size with 413, and count before the prompt is read.",
    helps=_CHAT,
)
def megabyte(endpoint: Endpoint) -> str:
    text = "stoker " * (_MEGABYTE // 7)
    said = "accepted; its end was not waited for"
    try:
        reply = endpoint.post(CHAT, endpoint.ask(text, max_tokens=1), limit_s=_REFUSED_WITHIN_S)
    except TooLate:
        reply = None
    if reply is not None:
        expect(reply.status in (200, 400, 413, 422), f"status {reply.status}: {reply.text}")
        said = f"status {reply.status} after {reply.elapsed_s:.1f} s"
    answered(endpoint.chat("Hi", max_tokens=1))
    return said


@table.check(
    "cancel-stream",
    "A stream that its reader leaves is no longer worked on.",
    why="Pressing Stop must free the server for the next question.",
    fix="Stop the work when the connection ends; a proxy in between must pass it on.",
    helps=_CHAT,
)
def cancel_stream(endpoint: Endpoint) -> str:
    return _freed(endpoint, stream=True)


@table.check(
    "cancel-whole",
    "An answer in one piece that its reader leaves is no longer worked on.",
    why="Editors ask for titles and completions this way, and drop them while you type.",
    fix="Watch the connection while the answer is written.",
    helps=(Use.COMPLETION,),
)
def cancel_whole(endpoint: Endpoint) -> str:
    return _freed(endpoint, stream=False)


def _freed(endpoint: Endpoint, *, stream: bool) -> str:
    """Start long answers, leave them all, and see how soon another is answered."""
    before_s = _one_token_s(endpoint)
    running = _running(endpoint)
    leave_after_s = max(endpoint.pace_s, 2 * before_s)
    freed_s = _FREED_PACES * endpoint.pace_s
    with ThreadPoolExecutor(_LEFT) as pool:
        until: Until | None = (lambda body: b"data:" in body) if stream else None
        list(pool.map(lambda n: _start(endpoint, n, stream, until, leave_after_s), range(_LEFT)))
    left_at = time.perf_counter()
    after_s = _one_token_s(endpoint)
    expect(
        after_s <= before_s + freed_s,
        f"one token took {before_s:.2f} s before and {after_s:.1f} s after {_LEFT} were left",
    )
    still = _settled(endpoint, running, left_at + freed_s)
    expect(not still, f"{still} more requests run than before, {freed_s:.0f} s later")
    return f"one token took {before_s:.2f} s before and {after_s:.2f} s after"


def _start(
    endpoint: Endpoint, number: int, stream: bool, until: Until | None, limit_s: float
) -> None:
    # Each its own prompt, so that no cache makes them one; no end of their own.
    question = f"Write a long story about {number + 2} lighthouses."
    tokens = min(_LONG_TOKENS, endpoint.window // 2) if endpoint.window else _LONG_TOKENS
    body = endpoint.ask(question, max_tokens=tokens, stream=stream)
    try:
        reply = endpoint.post(CHAT, body, until=until, limit_s=limit_s)
    except TooLate:
        return  # it was still writing, or waiting its turn: that is how we leave it
    accepted(reply)


def _running(endpoint: Endpoint) -> float | None:
    """Requests that the engine works on, where it says so."""
    try:
        reply = endpoint.get("/metrics", limit_s=5)
    except Failed:
        return None
    names = "|".join(map(re.escape, engines.running_metrics()))
    running = re.compile(rf"^(?:{names})(?:\{{[^}}]*\}})? ([0-9.e+]+)$".encode(), re.MULTILINE)
    found = running.findall(reply.body) if reply.ok else []
    return sum(map(float, found)) if found else None


def _settled(endpoint: Endpoint, before: float | None, until_s: float) -> int:
    """How many more run than before, once they had their time to end."""
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
