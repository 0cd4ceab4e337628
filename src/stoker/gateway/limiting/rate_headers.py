"""How an answer reports its limits: in the headers of OpenAI's API, or in those of Anthropic's.

https://platform.openai.com/docs/guides/rate-limits and
https://docs.anthropic.com/en/api/rate-limits list them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timezone

from stoker.gateway.limiting.caller_limiter import Reservation, reset_s, wait_s
from stoker.gateway.limiting.counters import (
    COST_UNIT,
    MEASURED_KINDS,
    Charge,
    CountedUse,
    Counter,
)
from stoker.gateway.limiting.use_windows import CALENDAR

_OPENAI_NAMES = {
    kind: [f"x-ratelimit-{what}-{kind}" for what in ("limit", "remaining", "reset")]
    for kind in ("requests", "tokens")
}
#: When a request that is under way may end is not known.
_CONCURRENT_WAIT_S = 2


def openai_headers(reservation: Reservation, now: float) -> dict[str, str]:
    """Of requests and of tokens: the limit, what remains of it, and when all of it remains."""
    headers = {}
    for kind, (charge, use) in _tightest(reservation).items():
        limit, remaining, reset = _OPENAI_NAMES[kind]
        headers[limit] = str(charge.counter.limit)
        headers[remaining] = str(max(0, charge.counter.limit - use.total))
        headers[reset] = duration(reset_s(charge, use, now))
    return headers


def anthropic_headers(reservation: Reservation, now: float) -> dict[str, str]:
    """The same in Anthropic's names, with a date in place of a duration."""
    headers = {}
    for kind, (charge, use) in _tightest(reservation).items():
        at = datetime.fromtimestamp(math.ceil(now + reset_s(charge, use, now)), timezone.utc)
        headers[f"anthropic-ratelimit-{kind}-limit"] = str(charge.counter.limit)
        left = max(0, charge.counter.limit - use.total)
        headers[f"anthropic-ratelimit-{kind}-remaining"] = str(left)
        headers[f"anthropic-ratelimit-{kind}-reset"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return headers


@dataclass(frozen=True, slots=True)
class LimitReached:
    """Why a request is refused, for the person who sent it."""

    message: str
    #: ``None`` where no wait makes the request fit.
    retry_after_s: int | None
    #: What a day or a month may take is used up: trying again soon is of no use.
    is_quota: bool


def refusal(reservation: Reservation, now: float) -> LimitReached:
    """Why a reservation was refused; of several limits, by the one with the longest wait.

    A request that is larger than a limit never fits. Tokens that exceed theirs beside requests that
    exceed theirs may be an upper bound: then the limits of requests are the reason.
    """
    over = reservation.over
    over = [item for item in over if item[0].counter.kind not in MEASURED_KINDS] or over
    too_large = next((charge for charge, _ in over if charge.amount > charge.counter.limit), None)
    if too_large is not None:
        return LimitReached(_too_large(too_large), None, is_quota=False)
    waits = [(_wait_s(charge, use, now), charge, use) for charge, use in over]
    wait, charge, use = max(waits, key=lambda item: item[0])
    retry_after_s = max(1, math.ceil(wait))
    if charge.counter.window in CALENDAR:
        message = f"{_left(charge, use)} It begins again in "
        message += f"{duration(retry_after_s)}, at midnight UTC."
        return LimitReached(message, retry_after_s, is_quota=True)
    message = f"The limit of {_limit(charge.counter)} is reached. Try again in "
    message += f"{duration(retry_after_s)}."
    return LimitReached(message, retry_after_s, is_quota=False)


def _too_large(charge: Charge) -> str:
    return (
        f"This request may take {_amount(charge.counter, charge.amount)}, and the limit is "
        f"{_limit(charge.counter)}. Send a shorter prompt, or ask for a higher limit."
    )


def _left(charge: Charge, use: CountedUse) -> str:
    """What is left of a quota."""
    counter = charge.counter
    left = counter.limit - use.total
    if left <= 0:
        return f"The quota of {_limit(counter)} is used up."
    return (
        f"The quota of {_limit(counter)} has {_amount(counter, left)} left, and this request may "
        f"take {_amount(counter, charge.amount)}."
    )


def _limit(counter: Counter) -> str:
    amount = _amount(counter, counter.limit)
    if counter.kind == "concurrent":
        return f"{amount} at the same time"
    return f"{amount} a {counter.window.name}"


def _amount(counter: Counter, amount: int) -> str:
    if counter.kind == "cost":
        return f"{amount / COST_UNIT:.6f}".rstrip("0").rstrip(".") + " (money)"
    kind = "requests" if counter.kind == "concurrent" else counter.kind
    return f"{amount} {kind.removesuffix('s') if amount == 1 else kind}"


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: ``120ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < 60:
        return f"{math.ceil(seconds * 1000) / 1000:g}s"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def _tightest(reservation: Reservation) -> dict[str, tuple[Charge, CountedUse]]:
    """Of requests and of tokens the counter that has the least left."""
    charges, uses = reservation.charges, reservation.outcome.uses
    found: dict[str, tuple[Charge, CountedUse]] = {}
    for kind, places in reservation.plan.reported:
        at = min(places, key=lambda at: charges[at].counter.limit - uses[at].total)
        found[kind] = charges[at], uses[at]
    return found


def _wait_s(charge: Charge, use: CountedUse, now: float) -> float:
    return _CONCURRENT_WAIT_S if charge.counter.kind == "concurrent" else wait_s(charge, use, now)
