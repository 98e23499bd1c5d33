"""University of Michigan, Surveys of Consumers: one CSV file a table, one row a month from 1952 on.

The newest month may be preliminary; the file does not say so.
"""

from datetime import date
from typing import Final

from dosvotos.errors import SourceError
from dosvotos.sources.http import ProviderClient, Response
from dosvotos.sources.providers.parsing import find_column, parse_observations, read_csv_rows
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch monthly index points; the series is ``FILE:COLUMN``."""
    file, _, column = request.series.partition(":")
    context = f"umich {request.series}"
    header, *months = client.get(f"/files/{file}", _table)
    at = find_column(header, column, context)
    dated = [(_first_day(cells, context), cells[at]) for cells in months]
    return build_series(parse_observations(dated, context, (), request.start), f"{file} {column}")


def _table(response: Response) -> list[list[str]]:
    rows = read_csv_rows(response)
    if rows[0][:2] != ["Month", "YYYY"] or len(rows) == 1:
        expected = "a table that starts with 'Month', 'YYYY', with months"
        raise SourceError(f"umich: expected {expected}, found {rows[0]}")
    return rows


def _first_day(cells: list[str], context: str) -> date:
    month, year = cells[:2]
    if month not in _MONTHS or not (len(year) == 4 and year.isdecimal()):
        expected = "a month's English name and a year of 4 digits"
        raise SourceError(f"{context}: expected {expected}, found {month!r}, {year!r}")
    return date(int(year), _MONTHS.index(month) + 1, 1)
