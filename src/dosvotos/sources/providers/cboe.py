"""Cboe: daily history of its indices, one CSV file an index."""

from typing import Final

from dosvotos.errors import SourceError
from dosvotos.sources.http import ProviderClient, Response
from dosvotos.sources.providers.dates import parse_date
from dosvotos.sources.providers.parsing import find_column, parse_observations, read_csv_rows
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_FOLDER: Final = "/api/global/us_indices/daily_prices/"


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch daily index points; the series is ``FILE`` for its column CLOSE, or ``FILE:COLUMN``."""
    file, _, column = request.series.partition(":")
    context = f"cboe {request.series}"
    header, *days = client.get(_FOLDER + file, _table)
    at = find_column(header, column or "CLOSE", context)
    dated = [(parse_date(cells[0], "MM/DD/YYYY", context), cells[at]) for cells in days]
    return build_series(parse_observations(dated, context, (), request.start), f"{file} {header[at]}")


def _table(response: Response) -> list[list[str]]:
    rows = read_csv_rows(response)
    if rows[0][0] != "DATE" or len(rows) == 1:
        raise SourceError(f"cboe: expected a table that starts with 'DATE' and has days, found {rows[0]}")
    return rows
