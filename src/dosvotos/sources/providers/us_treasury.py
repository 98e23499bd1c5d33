"""US Treasury: daily par yield curve rates, one CSV a calendar year with the tenors issued then."""

from datetime import date, timedelta
from typing import Final

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import ProviderClient, Response
from dosvotos.sources.providers.dates import parse_us_date
from dosvotos.sources.providers.parsing import deduplicate, find_column, parse_number, read_csv_rows
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_CURVE: Final = "daily_treasury_yield_curve"
_PATH: Final = "/resource-center/data-chart-center/interest-rates/daily-treasury-rates.csv/{year}/all"
_MISSING: Final = frozenset({"N/A"})
_FIRST_DAYS: Final = timedelta(days=7)
"""So long a new year's file may lack or be empty."""


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Par yields in percent; the series is the column's name, such as ``10 Yr``.

    A tenor that was first issued within the range has no column before; one that has a column keeps it.

    Raises
    ------
    SourceError
    """
    context = f"us_treasury {request.series}"
    observations: list[tuple[date, float | None]] = []
    header: list[str] = []
    issued = False
    for year in range(request.start.year, request.end.year + 1):
        header, *days = _year(client, year, request.end) or [header]
        if issued or request.series in header:
            at, issued = find_column(header, request.series, f"{context} in {year}"), True
            dated = [(_day(cells[0], year, context), cells[at]) for cells in days]
            observations += [
                (day, parse_number(raw, _MISSING, f"{context} {day}"))
                for day, raw in dated
                if day >= request.start
            ]
    if not issued:
        raise SourceError(f"{context}: no such column up to {request.end.year}, found {header}")
    return build_series(
        deduplicate(observations, context), f"Treasury par yield curve ({_CURVE}), {request.series}"
    )


def _year(client: ProviderClient, year: int, end: date) -> list[list[str]] | None:
    """Header and days of a year's file; None where the year has only begun."""
    begun = end - date(year, 1, 1) < _FIRST_DAYS
    params = {"type": _CURVE, "field_tdr_date_value": str(year), "page": "", "_format": "csv"}
    try:
        rows = client.get(_PATH.format(year=year), _table, params)
    except NotPublishedError:
        if begun:
            return None
        raise
    if len(rows) <= 1 and not begun:
        raise SourceError(f"us_treasury: the file of {year} has no day")
    return rows


def _table(response: Response) -> list[list[str]]:
    if not response.content.strip():
        return []
    rows = read_csv_rows(response)
    if rows[0][0] != "Date":
        raise SourceError(f"us_treasury: expected a table that starts with 'Date', found {rows[0]}")
    return rows


def _day(text: str, year: int, context: str) -> date:
    day = parse_us_date(text, context)
    if day.year != year:
        raise SourceError(f"{context}: the file of {year} holds {day}")
    return day
