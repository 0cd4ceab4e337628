"""Who asks, and what they may do: what a key, a token or a proxy proved."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

#: ``user`` asks models; ``viewer`` also reads what runs; ``admin`` also reads who uses it.
Role = Literal["user", "viewer", "admin"]
#: The highest count that a limit may be: Redis adds in doubles, PostgreSQL in 64 bits.
MOST_COUNT = 10**15
#: The least and the most money of a limit. It is counted in millionths, within ``MOST_COUNT``.
LEAST_COST, MOST_COST = 1e-6, 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerLimits:
    """What one caller may use; ``None`` sets no limit."""

    requests_per_minute: int | None = None
    #: Tokens of prompts and answers together.
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    #: In the currency of the configured prices.
    cost_per_day: float | None = None
    cost_per_month: float | None = None
    #: Requests that are under way at the same time.
    max_concurrent: int | None = None


NO_LIMITS = CallerLimits()


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a request. ``key_id`` distinguishes the keys of one owner; it is no secret."""

    owner: str
    key_id: str = ""
    role: Role = "user"
    #: Names of models that it may use, which may hold ``*``; none allows all.
    models: tuple[str, ...] = ()
    limits: CallerLimits = NO_LIMITS
    #: What its limits are counted under: a key that replaces another goes on with its quotas.
    limits_id: str = ""

    def __hash__(self) -> int:
        """Of what distinguishes most callers: it is taken for each request."""
        return hash((self.owner, self.key_id, self.limits_id))

    def may_use(self, model: str) -> bool:
        """Whether its key opens this model."""
        return not self.models or any(matches(model, pattern) for pattern in self.models)


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern means a name. One with brackets (``qwen[4bit]``) also means itself."""
    return name == pattern or fnmatchcase(name, pattern)


#: Who asks a gateway that has no keys.
ANYONE = Caller("anyone")
