"""University of Michigan, Surveys of Consumers: one CSV a table, a month a row, from 1952.

The newest month may be preliminary; the file does not say so.
"""

from datetime import date
from typing import Final

from dosvotos.errors import SourceError
from dosvotos.sources.http import Answer, Client
from dosvotos.sources.providers.parsing import column_of, once, rows_of
from dosvotos.sources.series import Series, SeriesRequest, number, series_of

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def fetch(request: SeriesRequest, client: Client) -> Series:
    """Index points of a month; the series is ``FILE:COLUMN``.

    Raises
    ------
    SourceError
    """
    file, _, column = request.series.partition(":")
    what = f"umich {request.series}"
    header, *months = client.get(f"/files/{file}", _table)
    at = column_of(header, column, what)
    dated = [(_first_day(cells, what), cells[at]) for cells in months]
    observations = [(day, number(raw, (), f"{what} {day}")) for day, raw in dated if day >= request.start]
    return series_of(once(observations, what), f"{file} {column}")


def _table(answer: Answer) -> list[list[str]]:
    rows = rows_of(answer)
    if rows[0][:2] != ["Month", "YYYY"] or len(rows) == 1:
        raise SourceError(
            f"umich: expected a table that starts with 'Month', 'YYYY', with months, found {rows[0]}"
        )
    return rows


def _first_day(cells: list[str], what: str) -> date:
    month, year = cells[:2]
    if month not in _MONTHS or not (len(year) == 4 and year.isdecimal()):
        raise SourceError(
            f"{what}: expected a month's English name and a year of 4 digits, found {month!r}, {year!r}"
        )
    return date(int(year), _MONTHS.index(month) + 1, 1)
