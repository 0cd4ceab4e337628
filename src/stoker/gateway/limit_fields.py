"""The limits that a section of a configuration file may set."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from stoker.access.caller import LEAST_COST, MOST_COST, MOST_COUNT, CallerLimits

Count = Annotated[int, Meta(ge=1, le=MOST_COUNT)]
Amount = Annotated[float, Meta(ge=LEAST_COST, le=MOST_COST)]


class LimitFields(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each is one limit; what is left out is not limited."""

    requests_per_minute: Annotated[
        Count | None, Meta(description="Requests in any 60 seconds.")
    ] = None
    tokens_per_minute: Annotated[
        Count | None, Meta(description="Tokens of prompts and answers in any 60 seconds.")
    ] = None
    tokens_per_day: Annotated[Count | None, Meta(description="Tokens in a day, in UTC.")] = None
    tokens_per_month: Annotated[Count | None, Meta(description="Tokens in a month, in UTC.")] = None
    cost_per_day: Annotated[
        Amount | None, Meta(description="Money in a day, in UTC, by the prices of `[[price]]`.")
    ] = None
    cost_per_month: Annotated[
        Amount | None, Meta(description="Money in a month, in UTC, by the prices of `[[price]]`.")
    ] = None
    max_concurrent: Annotated[
        Count | None, Meta(description="Requests that are under way at the same time.")
    ] = None

    def limits(self) -> CallerLimits:
        """The limits as the gateway counts them."""
        names = LimitFields.__struct_fields__
        return CallerLimits(**{name: getattr(self, name) for name in names})

    @property
    def costs(self) -> list[str]:
        """The names of the limits of money that are set."""
        names = ("cost_per_day", "cost_per_month")
        return [name for name in names if getattr(self, name) is not None]
