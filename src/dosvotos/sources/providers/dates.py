"""Dates as Spanish-speaking providers and spreadsheets write them, and the first day of a period."""

import re
from datetime import date
from typing import Final

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import SourceError
from dosvotos.sources.series import plain, spanish_month

MONTHS_A_PERIOD: Final[dict[Frequency, int]] = {"monthly": 1, "quarterly": 3}

_MONTHS: Final = (
    "enero", "febrero", "marzo", "abril", "mayo", "junio",
    "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
)  # fmt: skip
_VARIANTS: Final = {"set": "sep", "setiembre": "septiembre"}
_SHORT_DAY: Final = re.compile(r"(\d{2})\.?([A-Za-z]{3})\.?(\d{2})")
_MONTH_AND_YEAR: Final = re.compile(r"([a-z]+)\.?(?:[-/ ]+| del? )?(\d{4}|\d{2})")
_FIRST_SHORT_YEAR: Final = 70


def first_of_period(day: date, frequency: Frequency) -> date:
    """The first day of the month or quarter; a day of a daily series is its own."""
    months = MONTHS_A_PERIOD.get(frequency)
    return date(day.year, (day.month - 1) // months * months + 1, 1) if months else day


def short_day(text: str, what: str) -> date:
    """A day written ``30.Set.25`` or ``29Ene26``; years 70 to 99 are of the last century.

    Raises
    ------
    SourceError
    """
    match = _SHORT_DAY.fullmatch(text.strip())
    if match is None:
        raise SourceError(f"{what}: expected a day such as 30.Set.25 or 29Ene26, found {text!r}")
    day, month, year = match.groups()
    try:
        return date(_full_year(year), spanish_month(month, what), int(day))
    except ValueError as error:
        raise SourceError(f"{what}: {text!r} is no day") from error


def month_named(text: str) -> int | None:
    """Month 1 to 12 where the text is a Spanish month's name, whole or cut after three letters or more."""
    name = plain(text).rstrip(".")
    name = _VARIANTS.get(name, name)
    found = [month for month, full in enumerate(_MONTHS, 1) if len(name) >= 3 and full.startswith(name)]
    return found[0] if found else None


def first_of_month(text: str) -> date | None:
    """The first day of a month written ``ene-25``, ``Sept. 2025`` or ``septiembre de 2025``, else None."""
    match = _MONTH_AND_YEAR.fullmatch(plain(text))
    month = month_named(match[1]) if match else None
    return date(_full_year(match[2]), month, 1) if match and month else None


def _full_year(digits: str) -> int:
    year = int(digits)
    if len(digits) > 2:
        return year
    return year + (1900 if year >= _FIRST_SHORT_YEAR else 2000)
