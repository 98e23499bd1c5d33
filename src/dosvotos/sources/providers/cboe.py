"""Cboe: the daily history of its indices, one CSV an index with all its days."""

from typing import Final

from dosvotos.errors import SourceError
from dosvotos.sources.http import Answer, Client
from dosvotos.sources.providers.parsing import column_of, once, rows_of, us_date
from dosvotos.sources.series import Series, SeriesRequest, number, series_of

_FOLDER: Final = "/api/global/us_indices/daily_prices/"


def fetch(request: SeriesRequest, client: Client) -> Series:
    """Index points; the series is ``FILE`` for its column CLOSE, or ``FILE:COLUMN``.

    Raises
    ------
    SourceError
    """
    file, _, column = request.series.partition(":")
    what = f"cboe {request.series}"
    header, *days = client.get(_FOLDER + file, _table)
    at = column_of(header, column or "CLOSE", what)
    dated = [(us_date(cells[0], what), cells[at]) for cells in days]
    observations = [(day, number(raw, (), f"{what} {day}")) for day, raw in dated if day >= request.start]
    return series_of(once(observations, what), f"{file} {header[at]}")


def _table(answer: Answer) -> list[list[str]]:
    rows = rows_of(answer)
    if rows[0][0] != "DATE" or len(rows) == 1:
        raise SourceError(f"cboe: expected a table that starts with 'DATE' and has days, found {rows[0]}")
    return rows
