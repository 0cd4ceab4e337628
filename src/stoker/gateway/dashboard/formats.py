"""Numbers, times and texts as people of one language read them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from markupsafe import Markup

from stoker.gateway.dashboard import catalogue

Language = Literal["en", "de"]
LANGUAGES: tuple[Language, ...] = ("en", "de")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
#: In German, points and commas mean each other.
_SWAPPED = str.maketrans(",.", ".,")


@dataclass(frozen=True, slots=True)
class Formats:
    """Writes values in one language."""

    language: Language
    #: Now, in seconds since the epoch.
    now: float

    def text(self, key: str, **values: object) -> Markup:
        """A text of the catalogue. Values are escaped, but for those that are ``Markup``."""
        text = catalogue.text(key, self.language)
        return Markup(text).format(**values)  # noqa: S704  (of our own file; escapes the values)

    def count(self, value: float | None) -> str:
        """A whole number: 1,234."""
        return self._none if value is None else self._localised(f"{value:,.0f}")

    def speed(self, value: float) -> str:
        """A speed, as exact as it is of use: 0.4, 31, 1,234."""
        return self._localised(f"{value:,.1f}" if 0 < value < 10 else f"{value:,.0f}")

    def percent(self, part: float, whole: float = 1) -> str:
        """A part of a whole: 12%."""
        shown = f"{100 * part / whole:.0f}" if whole else "0"
        return f"{shown} %" if self.language == "de" else f"{shown}%"

    def wait(self, seconds: float | None) -> str:
        """A short time: 350 ms, 1.2 s, 2 min."""
        if seconds is None:
            return self._none
        if seconds < 1:
            return f"{seconds * 1000:.0f} ms"
        if seconds < 10:
            return self._localised(f"{seconds:.1f} s")
        return f"{seconds:.0f} s" if seconds < 2 * _MINUTE_S else self.span(seconds)

    def span(self, seconds: float) -> str:
        """A long time by its two largest units: 3 h 12 min."""
        whole = max(0, int(seconds))
        if whole < _MINUTE_S:
            return f"{whole} s"
        if whole < _HOUR_S:
            return f"{whole // _MINUTE_S} min"
        if whole < _DAY_S:
            return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
        days = str(self.text("unit.days", count=whole // _DAY_S))
        return f"{days} {whole % _DAY_S // _HOUR_S} h"

    def ago(self, moment: float) -> str:
        """How long ago a moment was: 3 min ago."""
        return str(self.text("unit.ago", span=self.span(self.now - moment)))

    def moment(self, moment: float) -> str:
        """A moment that is the same for every reader: 2026-11-28 18:06 UTC."""
        return f"{_utc(moment):%Y-%m-%d %H:%M} UTC"

    def iso(self, moment: float) -> str:
        """A moment for programs."""
        return f"{_utc(moment):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def _none(self) -> str:
        return str(self.text("unit.none"))

    def _localised(self, number: str) -> str:
        return number.translate(_SWAPPED) if self.language == "de" else number


def _utc(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, timezone.utc)


def preferred_language(accepted: str) -> Language:
    """The first language of an ``Accept-Language`` header that there is; English otherwise."""
    found: list[tuple[float, Language]] = []
    for entry in accepted[:500].split(","):
        tag, _, quality = entry.partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(quality)
        found += [(weight, known) for known in LANGUAGES if known == language and weight > 0]
    return max(found, key=lambda each: each[0], default=(1.0, "en"))[1]


def language_of(text: str | None) -> Language | None:
    """The language with this tag; ``None`` for any other text."""
    return next((known for known in LANGUAGES if known == text), None)


def _weight(quality: str) -> float:
    name, _, value = quality.strip().partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 0.0
