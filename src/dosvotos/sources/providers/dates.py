"""Dates as providers and spreadsheets write them, Spanish or American, and the first day of a period."""

import re
from datetime import date, datetime, timedelta
from typing import Final, Literal

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import SourceError
from dosvotos.quality.series import MONTHS_PER_PERIOD
from dosvotos.sources.providers.parsing import normalize_text

CLOSED_AT_MOST: Final = timedelta(days=10)
"""No market stays closed longer: a longer range without any row is an error."""
SPANISH_MONTHS: Final = ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic")

_FULL_MONTHS: Final = (
    "enero", "febrero", "marzo", "abril", "mayo", "junio",
    "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
)  # fmt: skip
_VARIANTS: Final = {"set": "sep", "setiembre": "septiembre"}
_SHORT_DAY: Final = re.compile(r"(\d{2})\.?([A-Za-z]{3})\.?(\d{2})")
_MONTH_AND_YEAR: Final = re.compile(r"([a-z]+)\.?(?:[-/ ]+| del? )?(\d{4}|\d{2})")
_FIRST_SHORT_YEAR: Final = 70
_FORMATS: Final = {"MM/DD/YYYY": "%m/%d/%Y", "YYYY-MM-DD": "%Y-%m-%d"}


def period_start(day: date, frequency: Frequency) -> date:
    """The first day of the month or quarter that holds `day`; for a daily series `day` itself."""
    months = MONTHS_PER_PERIOD.get(frequency)
    return date(day.year, (day.month - 1) // months * months + 1, 1) if months else day


def parse_date(text: str, written: Literal["MM/DD/YYYY", "YYYY-MM-DD"], context: str) -> date:
    """Parse a date written so, or raise SourceError that starts with `context`."""
    try:
        return datetime.strptime(text, _FORMATS[written]).date()
    except ValueError as error:
        raise SourceError(f"{context}: expected a date {written}, found {text!r}") from error


def parse_short_day(text: str, context: str) -> date:
    """Parse a day written ``30.Set.25`` or ``29Ene26``; years 70 to 99 are of the last century."""
    match = _SHORT_DAY.fullmatch(text.strip())
    if match is None:
        raise SourceError(f"{context}: expected a day such as 30.Set.25 or 29Ene26, found {text!r}")
    day, name, year = match.groups()
    month = parse_month_name(name)
    if month is None:
        raise SourceError(f"{context}: expected a Spanish month, found {name!r}")
    try:
        return date(_full_year(year), month, int(day))
    except ValueError as error:
        raise SourceError(f"{context}: {text!r} is no day") from error


def parse_month_name(text: str) -> int | None:
    """Month 1 to 12 of a Spanish month's name, whole or cut after at least three letters; else None."""
    name = normalize_text(text).rstrip(".")
    name = _VARIANTS.get(name, name)
    found = [month for month, full in enumerate(_FULL_MONTHS, 1) if len(name) >= 3 and full.startswith(name)]
    return found[0] if found else None


def parse_month(text: str) -> date | None:
    """The first day of a month written ``ene-25``, ``Sept. 2025`` or ``septiembre de 2025``; else None."""
    match = _MONTH_AND_YEAR.fullmatch(normalize_text(text))
    month = parse_month_name(match[1]) if match else None
    return date(_full_year(match[2]), month, 1) if match and month else None


def _full_year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) > 2 else year + (1900 if year >= _FIRST_SHORT_YEAR else 2000)
