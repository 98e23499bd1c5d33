"""Figures and times as people read them, in their language; times in Bogota, where the market is."""

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dosvotos.market.calendar import BOGOTA

MISSING = "\N{EN DASH}"
_ZONE = ZoneInfo(BOGOTA)
_SWAP = str.maketrans(",.", ".,")


class Formats(NamedTuple):
    """Number formats of one language."""

    language: str

    def number(self, value: float | None, digits: int = 2) -> str:
        """Write a figure with thousands separators."""
        return MISSING if value is None else self._localized(f"{value:,.{digits}f}")

    def percent(self, fraction: float | None, digits: int = 1, signed: bool = False) -> str:
        """Write a fraction in percent."""
        if fraction is None:
            return MISSING
        text = f"{fraction:{'+' if signed else ''},.{digits}%}"
        return self._localized(text.replace("%", "\u00a0%") if self.language == "es" else text)

    def chance(self, probability: float | None) -> str:
        """Write a probability in percent; none is certain, so none is written as 0 or 100."""
        if probability is None:
            return MISSING
        if probability > 0.999:
            return f"> {self.percent(0.999)}"
        return f"< {self.percent(0.001)}" if probability < 0.001 else self.percent(probability)

    @property
    def separators(self) -> str:
        """Decimal and thousands mark, in Plotly's notation."""
        return ",." if self.language == "es" else ".,"

    def _localized(self, text: str) -> str:
        return text.translate(_SWAP) if self.language == "es" else text


def day_in_bogota(moment: datetime | None) -> str:
    """Write a moment as Bogota's date."""
    return MISSING if moment is None else f"{moment.astimezone(_ZONE):%Y-%m-%d}"


def in_bogota(moment: datetime | None) -> str:
    """Write a moment as Bogota's date and time, to the minute."""
    return MISSING if moment is None else f"{moment.astimezone(_ZONE):%Y-%m-%d %H:%M}"
