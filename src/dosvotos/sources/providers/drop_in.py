"""Series without an API: files that a person saves into the drop-in folder.

A file has a date column (``fecha``, ``date`` or ``observation_date``) and value columns, in any form that
`dosvotos.readers` reads. Dates are 2025-01-31, 31/01/2025 (day first), 2025-01 or ene-25. An empty cell is
missing.
"""

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import pandas as pd

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import DataError, NotPublishedError, SourceError
from dosvotos.readers.containers import find_files
from dosvotos.readers.grids import Grid, read_grid
from dosvotos.readers.headers import DATE_NAMES, Layout, normalize_name
from dosvotos.readers.numbers import read_numbers
from dosvotos.readers.stamps import read_stamps
from dosvotos.readers.unreadable import RowProblems
from dosvotos.sources.providers.dates import period_start
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_DATES: Final = "write dates as 2025-01-31, 31/01/2025, 2025-01 or ene-25"


def fetch(request: SeriesRequest, folder: Path) -> FetchedSeries:
    """Read all values of a file, in its unit; the series is ``FILE:COLUMN``, or ``FILE`` with one column.

    Values before the request's start are returned too: a person may add history at any time. A row that
    cannot be read refuses the file: a person can mend it.
    """
    file, _, column = request.series.partition(":")
    context = f"drop-in file {folder / file}"
    if Path(file).name != file:
        raise SourceError(f"{context}: expected the name of a file in the drop-in folder, found {file!r}")
    path = _find(folder, file, column, context)
    layout = _layout(column)
    try:
        grid = read_grid(path, layout)
        dated = _observations(grid, layout, request.frequency)
    except DataError as error:
        message = str(error).removeprefix(f"{path}: ")
        raise SourceError(f"drop-in file {path}: {message}") from error
    if repeated := [day for day, times in Counter(day for day, _ in dated).items() if times > 1]:
        raise SourceError(f"{context}: each day or period may stand once, {repeated[0]} stands more often")
    name = _column_name(grid, layout)
    if all(pd.isna(value) for _, value in dated):
        raise SourceError(f"{context}: column {name!r} holds no value")
    return build_series([(day, value) for day, value in dated if not pd.isna(value)], f"{file} {name}")


def _find(folder: Path, file: str, column: str, context: str) -> Path:
    """Return the file, or the one file of its name in another form, such as xlsx for CSV."""
    if (folder / file).is_file():
        return folder / file
    found = find_files(folder, file.partition(".")[0]) if folder.is_dir() else []
    if len(found) > 1:
        raise SourceError(f"{context}: found {' and '.join(path.name for path in found)}; keep one")
    if not found:
        raise NotPublishedError(
            f"{context}: not there; save a CSV under this name, with the header "
            f"fecha;{column or 'value'} and lines such as ene-25;-1,1 (docs/data.md)"
        )
    return found[0]


def _layout(column: str) -> Layout:
    dates = {"observation_date": DATE_NAMES}
    if not column:
        return Layout(dates, rest="value")
    return Layout({**dates, "value": (normalize_name(column),)})


def _column_name(grid: Grid, layout: Layout) -> str:
    """Return the value column's name as the file writes it."""
    own = layout.names.get("value")
    names = [name for name in grid.header if normalize_name(name)]
    return next(name for name in names if normalize_name(name) in own) if own else _other(names)


def _other(names: list[str]) -> str:
    return next(name for name in names if normalize_name(name) not in DATE_NAMES)


def _observations(grid: Grid, layout: Layout, frequency: Frequency) -> list[tuple[date, float]]:
    """Read dates and values of all rows.

    Raises
    ------
    DataError
        About the first row that cannot be read.
    """
    problems = RowProblems(grid)
    problems.add_uneven()
    stamps = read_stamps(grid, "observation_date", day_first=True)
    day = stamps.wall.where(stamps.wall == stamps.wall.dt.normalize())
    problems.add_dates("observation_date", day, layout, _DATES)
    numbers = read_numbers(grid, ["value"])
    problems.add_texts(numbers)
    if len(found := problems.frame()):
        raise DataError(found["detail"].iloc[0])
    rows = zip(grid.cells.index, day.dt.date, stamps.is_month, numbers.values["value"], strict=True)
    return [
        (_period(day, is_month, frequency, f"{grid.file} {grid.place(row)}"), value)
        for row, day, is_month, value in rows
    ]


def _period(day: date, is_month: bool, frequency: Frequency, place: str) -> date:
    """Return the day itself, or the first day of the period whose first or last day or month is written."""
    found = f"{day:%Y-%m}" if is_month else str(day)
    if frequency == "daily":
        if is_month:
            raise DataError(f"{place}: expected a day, as the variable is daily, found the month {found}")
        return day
    first = period_start(day, frequency)
    ends = period_start(day + timedelta(days=1), frequency) != first
    ends_with_month = is_month and period_start(day + timedelta(days=31), frequency) != first
    if day != first and not ends and not ends_with_month:
        expected = f"a period's first or last day, as the variable is {frequency}"
        raise DataError(f"{place}: expected {expected}, found {found}")
    return first
