"""DANE, Colombia's statistics office: one spreadsheet a release, named after its last month.

The newest release is searched backwards from the last month of the request; a month without a file (404) is
not yet published.
"""

import io
import re
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from typing import Final, NamedTuple

from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.http import ProviderClient, Response, RetryableError
from dosvotos.sources.providers.dates import SPANISH_MONTHS, parse_month, parse_month_name
from dosvotos.sources.providers.parsing import deduplicate, find_column, normalize_text, parse_number
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_LOOK_BACK_MONTHS: Final = 6
_MONTH: Final = "mes"
_YEAR: Final = re.compile(r"(?:19|20)\d{2}")
_PRELIMINARY: Final = re.compile(r"(?:(?<=\d)\s*(?:pr?|\*+)|\s*\((?:pr?|\*+)\)|\s+(?:pr?|\*+))$")
_SUMMARY: Final = re.compile(
    r"(?:sub)?total\b.*|(?:en )?ano corrido.*|acumulad[oa].*|variacion.*|promedio.*"
    r"|(?:ultimos )?(?:doce|12) meses.*|enero ?(?:-|a) ?[a-z]+.*|(?:19|20)\d{2}"
)

_Row = Sequence[object]


class _Workbook(NamedTuple):
    path: str
    sheet: str
    column: str | None
    """The column of values, where every month has its row; None where every year has its column."""


class _Sheet(NamedTuple):
    title: str
    rows: list[_Row]


class _Table(NamedTuple):
    cells: list[tuple[date, object]]
    other_rows: list[_Row]
    """Rows that are no month: titles, units, notes, totals of a year."""


_WORKBOOKS: Final = {
    "IPC": _Workbook("/files/operaciones/IPC/{0}/anex-IPC-Indices-{0}.xlsx", "IndicesIPC", None),
    "EXPORTACIONES": _Workbook(
        "/files/operaciones/EXPORTACIONES/anex-EXPORTACIONES-SerieTotalesProductosOMCAgrCUCIR3-{0}.xlsx",
        "Grupos OMC",
        "total",
    ),
    "IMP": _Workbook("/files/operaciones/IMP/anex-IMP-ProductosOMCAgrCUCI3-{0}.xlsx", "Grupos OMC", "total"),
}


def fetch(request: SeriesRequest, client: ProviderClient) -> FetchedSeries:
    """Fetch monthly values in the sheet's unit; the series is ``IPC``, ``EXPORTACIONES`` or ``IMP``.

    The newest file must end with the month it is named after.
    """
    context = f"dane {request.series}"
    workbook = _WORKBOOKS.get(request.series)
    if workbook is None or request.frequency != "monthly":
        monthly = f"the monthly ones are {list(_WORKBOOKS)}"
        raise SourceError(f"{context}: no {request.frequency} series of DANE; {monthly}")
    release, sheet = _newest(workbook, request.end, client, context)
    table = _table(sheet, workbook.column, context)
    observations = [(month, parse_number(cell, (), f"{context} {month}")) for month, cell in table.cells]
    last = max((month for month, value in observations if value is not None), default=None)
    if last != release:
        file = f"the file of {_name(release)}"
        raise SourceError(f"{context}: expected {file} to end with that month, it ends with {last}")
    texts = (cell.strip() for row in table.other_rows for cell in row if isinstance(cell, str))
    kept = [(month, value) for month, value in observations if month >= request.start]
    return build_series(deduplicate(kept, context), "; ".join(filter(None, (sheet.title, *texts))))


def _newest(workbook: _Workbook, end: date, client: ProviderClient, context: str) -> tuple[date, _Sheet]:
    newest = end.year * 12 + end.month - 1
    releases = [date(n // 12, n % 12 + 1, 1) for n in range(newest, newest - _LOOK_BACK_MONTHS, -1)]
    for release in releases:
        with suppress(NotPublishedError):
            path = workbook.path.format(_name(release))
            return release, client.get(path, partial(_sheet, name=workbook.sheet, context=context))
    months = f"from {_name(releases[-1])} to {_name(releases[0])}"
    raise NotPublishedError(f"{context}: no file {months} at {workbook.path.format('...')}")


def _name(release: date) -> str:
    return f"{SPANISH_MONTHS[release.month - 1]}{release.year}"


def _sheet(response: Response, name: str, context: str) -> _Sheet:
    from openpyxl import load_workbook

    if not response.content.startswith(b"PK"):
        raise RetryableError(f"answered with what is no spreadsheet: {response.content[:60]!r}")
    try:
        book = load_workbook(io.BytesIO(response.content), data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, SyntaxError, EOFError, OSError) as error:
        raise RetryableError(f"answered with a damaged spreadsheet: {error}") from error
    found = [sheet for sheet in book.worksheets if normalize_text(sheet.title) == normalize_text(name)]
    if len(found) != 1:
        raise SourceError(f"{context}: expected one sheet {name!r}, found {book.sheetnames}")
    return _Sheet(found[0].title, list(found[0].iter_rows(values_only=True)))


def _table(sheet: _Sheet, column: str | None, context: str) -> _Table:
    top, header = _header(sheet, column, context)
    at = find_column(header, _MONTH, context)
    years = _years(header, at, context) if column is None else {}
    value_at = find_column(header, column, context) if column else at
    table = _Table([], [*sheet.rows[:top]])
    for row in sheet.rows[top + 1 :]:
        if column and (first := _first_day(row[at])):
            table.cells.append((first, row[value_at]))
        elif not column and (month := parse_month_name(_text(row[at]))):
            table.cells.extend((date(year, month, 1), row[i]) for i, year in years.items())
        elif _holds_no_data(row, at):
            table.other_rows.append(row)
        else:
            raise SourceError(f"{context}: expected a month beside numbers, found {row[at]!r}")
    return table


def _header(sheet: _Sheet, column: str | None, context: str) -> tuple[int, list[str]]:
    for top, row in enumerate(sheet.rows):
        header = [_text(cell) for cell in row]
        if _MONTH in header and (column in header if column else any(map(_YEAR.fullmatch, header))):
            return top, header
    wanted = f"'Mes' and {column!r}" if column else "'Mes' and years"
    filled = [[cell for cell in row if cell is not None] for row in sheet.rows if any(row)]
    raise SourceError(f"{context}: expected a row with {wanted} in sheet {sheet.title!r}, found {filled[:4]}")


def _years(header: Sequence[str], at: int, context: str) -> dict[int, int]:
    columns = {i: text for i, text in enumerate(header) if text and i != at}
    if odd := [text for text in columns.values() if not _YEAR.fullmatch(text)]:
        raise SourceError(f"{context}: expected years beside 'Mes', found {odd}")
    return {i: int(text) for i, text in columns.items()}


def _first_day(cell: object) -> date | None:
    return date(cell.year, cell.month, 1) if isinstance(cell, date) else parse_month(_text(cell))


def _holds_no_data(row: _Row, at: int) -> bool:
    """Whether a row has no numbers, or only those of a known summary such as a year's total."""
    numbers = [cell for i, cell in enumerate(row) if i != at and isinstance(cell, int | float)]
    return not numbers or _SUMMARY.fullmatch(_text(row[at])) is not None


def _text(cell: object) -> str:
    """A cell's text without accents, case and the mark of preliminary figures."""
    return "" if cell is None else _PRELIMINARY.sub("", normalize_text(str(cell)))
