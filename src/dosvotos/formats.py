"""Numbers, dates and plurals as a language writes them, from Babel's (CLDR's) rules.

Spanish is ``es`` and not ``es_CO``: both write 1.234,5, but ``es`` sets the space before the percent sign
that the Academy asks for, and writes the month in a date as a word, which no reader can take for the day.
"""

import math
from datetime import datetime
from typing import Literal, NamedTuple

from babel.core import Locale
from babel.numbers import format_decimal, format_percent

Language = Literal["en", "es"]

MISSING = "\N{EN DASH}"
_MOST_DIGITS = 17
"""Decimals that tell any two floats above 0.1 apart."""


class Form(NamedTuple):
    """How a kind of figure is written."""

    digits: int = 2
    percent: bool = False
    signed: bool = False
    """A plus before what is above zero."""
    chance: bool = False
    """A probability, of which none is certain: written by `Formats.chance`."""
    p_value: bool = False
    """A p-value or its level: written by `Formats.p_value`."""


COUNT, RATIO, PERCENT = Form(0), Form(2), Form(1, percent=True)
CHANCE = Form(1, percent=True, chance=True)
P_VALUE = Form(percent=True, p_value=True)
_MOST = 1e15
"""From here on figures are written with an exponent: Babel cannot round much larger ones."""


class Figure(NamedTuple):
    """A figure of a sentence that is told in several languages."""

    value: float | None
    form: Form

    def __str__(self) -> str:
        return self.told("en")

    def told(self, language: Language) -> str:
        """Write it as a language does."""
        return Formats(language).write(self.value, self.form)


class Formats(NamedTuple):
    """Formats of one language; None and NaN are written as `MISSING`."""

    language: Language

    def write(self, value: float | None, form: Form) -> str:
        """Write a figure in its form, rounded half to even."""
        if value is None or math.isnan(value):
            return MISSING
        if form.chance:
            return self.chance(value, form.digits)
        if form.p_value:
            return self.p_value(value)
        if abs(value) >= _MOST:
            return f"{value:.{max(3, form.digits)}e}"
        locale = Locale.parse(self.language)
        known = locale.percent_formats if form.percent else locale.decimal_formats
        tail = known[None].pattern.replace("#,##0", "").replace(".###", "")
        pattern = "#,##0" + "." * bool(form.digits) + "0" * form.digits + tail
        pattern = f"+{pattern};-{pattern}" if form.signed else pattern
        written = format_percent if form.percent else format_decimal
        return written(float(value), pattern, locale=locale)

    def number(self, value: float | None, digits: int = 2, signed: bool = False) -> str:
        """Write a figure with thousands separators."""
        return self.write(value, Form(digits, signed=signed))

    def percent(self, fraction: float | None, digits: int = 1, signed: bool = False) -> str:
        """Write a fraction in percent."""
        return self.write(fraction, Form(digits, percent=True, signed=signed))

    def small_percent(self, fraction: float) -> str:
        """Write a small fraction in percent, with two significant digits."""
        _, _, exponent = f"{100 * fraction:.1e}".partition("e")
        text = f"{100 * fraction:.{max(0, 1 - int(exponent))}f}".rstrip("0")
        return self.percent(fraction, len(text.partition(".")[2]))

    def p_value(self, fraction: float | None) -> str:
        """Write a p-value in percent, with two significant digits; none is written as 0."""
        if fraction is None:
            return MISSING
        least = 1e-6
        return f"< {self.small_percent(least)}" if fraction < least else self.small_percent(fraction)

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

    def distinct(self, found: float | None, needed: float, form: Form = RATIO) -> tuple[str, str]:
        """Write two figures with so many digits that they differ in writing where they differ.

        Returns
        -------
        tuple of str
            `found` and `needed` with equally many decimals, at least those of `form`: 0.499999 and
            0.500000, 12,345 and 50.
        """
        while True:
            pair = self.write(found, form), self.write(needed, form)
            if pair[0] != pair[1] or found == needed or form.digits >= _MOST_DIGITS:
                return pair
            form = form._replace(digits=form.digits + 1)

    def moment(self, moment: datetime | None, zone: str = "UTC") -> str:
        """Write a moment of a zone to the minute, in ISO's order, which sorts."""
        if moment is None:
            return MISSING
        from babel.dates import format_datetime, get_timezone

        return format_datetime(moment, "yyyy-MM-dd HH:mm", tzinfo=get_timezone(zone), locale=self.language)

    def months(self) -> list[str]:
        """Abbreviated names of the months, January first."""
        from babel.dates import get_month_names

        names = get_month_names("abbreviated", locale=self.language)
        return [names[month] for month in range(1, 13)]

    def plural(self, n: int, one: str, other: str) -> str:
        """Write a count and its noun, in the number that the language gives it."""
        singular = Locale.parse(self.language).plural_form(n) == "one"
        return f"{self.number(n, 0)} {one if singular else other}"

    @property
    def separators(self) -> str:
        """Decimal and thousands mark, in Plotly's notation."""
        symbols = Locale.parse(self.language).number_symbols["latn"]
        return f"{symbols['decimal']}{symbols['group']}"
