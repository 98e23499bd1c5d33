"""US Treasury: daily par yield curve rates, one CSV file a calendar year, one column a tenor."""

from datetime import date, timedelta
from typing import Final

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import ProviderClient, Response
from dosvotos.sources.providers.dates import parse_date
from dosvotos.sources.providers.parsing import find_column, parse_observations, read_csv_rows
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_CURVE: Final = "daily_treasury_yield_curve"
_PATH: Final = "/resource-center/data-chart-center/interest-rates/daily-treasury-rates.csv/{year}/all"
_MISSING: Final = frozenset({"N/A"})
_FIRST_DAYS: Final = timedelta(days=7)
"""Time after New Year in which the year's file may be missing or empty."""


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch daily par yields in percent; the series is the column's name, such as ``10 Yr``.

    A tenor first issued within the range has no column in earlier years; a later year without it is an error.
    """
    context = f"us_treasury {request.series}"
    dated: list[tuple[date, str]] = []
    header: list[str] = []
    issued = False
    for year in range(request.start.year, request.end.year + 1):
        header, *days = _year(client, year, request.end) or [header]
        if issued or request.series in header:
            at, issued = find_column(header, request.series, f"{context} in {year}"), True
            dated += [(_day(cells[0], year, context), cells[at]) for cells in days]
    if not issued:
        raise SourceError(f"{context}: no such column up to {request.end.year}, found {header}")
    observations = parse_observations(dated, context, _MISSING, request.start)
    return build_series(observations, f"Treasury par yield curve ({_CURVE}), {request.series}")


def _year(client: ProviderClient, year: int, end: date) -> list[list[str]] | None:
    """Header and rows of a year's file; None if it is missing in the first days of the year."""
    has_just_begun = end - date(year, 1, 1) < _FIRST_DAYS
    params = {"type": _CURVE, "field_tdr_date_value": str(year), "page": "", "_format": "csv"}
    try:
        rows = client.get(_PATH.format(year=year), _table, params)
    except NotPublishedError:
        if has_just_begun:
            return None
        raise
    if len(rows) <= 1 and not has_just_begun:
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
    day = parse_date(text, "MM/DD/YYYY", context)
    if day.year != year:
        raise SourceError(f"{context}: the file of {year} holds {day}")
    return day
