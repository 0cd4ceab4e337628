"""How a check ends other than well: what it raises."""

from __future__ import annotations


class Failed(Exception):  # noqa: N818  (an outcome, not an error of ours)
    """The endpoint broke the promise; the text says what was seen."""


class TooLate(Failed):
    """No answer began in time."""


class NotShown(Exception):  # noqa: N818
    """It was not found out, for the reason that the text says."""


class NotSupported(Exception):  # noqa: N818
    """The endpoint says honestly that it does not do this."""
