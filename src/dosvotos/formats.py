"""Figures as people read them, in their language."""

from typing import Literal, NamedTuple

Language = Literal["en", "es"]

MISSING = "\N{EN DASH}"
_SWAP = str.maketrans(",.", ".,")


class Formats(NamedTuple):
    """Number formats of one language."""

    language: Language

    def number(self, value: float | None, digits: int = 2) -> str:
        """Write a figure with thousands separators."""
        return MISSING if value is None else self._localized(f"{value:,.{digits}f}")

    def percent(self, fraction: float | None, digits: int = 1, signed: bool = False) -> str:
        """Write a fraction in percent."""
        return (
            MISSING if fraction is None else self._percent(f"{fraction:{'+' if signed else ''},.{digits}%}")
        )

    def small_percent(self, fraction: float) -> str:
        """Write a small fraction in percent, with two digits that count."""
        return self._percent(f"{100 * fraction:.2g}%")

    def chance(self, probability: float | None, digits: int = 1) -> str:
        """Write a probability in percent; none is certain, so none is written as 0 or 100."""
        if probability is None:
            return MISSING
        least = 10.0 ** -(digits + 2)
        if probability > 1 - least:
            return f"> {self.percent(1 - least, digits)}"
        if probability < least:
            return f"< {self.percent(least, digits)}"
        return self.percent(probability, digits)

    @property
    def separators(self) -> str:
        """Decimal and thousands mark, in Plotly's notation."""
        return ",." if self.language == "es" else ".,"

    def _percent(self, text: str) -> str:
        return self._localized(text.replace("%", "\u00a0%") if self.language == "es" else text)

    def _localized(self, text: str) -> str:
        return text.translate(_SWAP) if self.language == "es" else text
