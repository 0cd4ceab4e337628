"""What a check raises where it does not pass."""

from __future__ import annotations


class Failed(Exception):  # noqa: N818  (an outcome, not an error of ours)
    """The endpoint broke the promise; the text is what was seen."""


class TooLate(Failed):
    """No answer began in time."""


class NotShown(Exception):  # noqa: N818
    """The check proved nothing either way; the text is the reason."""


class NotSupported(Exception):  # noqa: N818
    """The endpoint reports that it does not support this; the text is its answer."""
