"""Read a file of bars: one with a timestamp and four prices a row."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pandas as pd

from dosvotos.errors import DataError
from dosvotos.readers.grids import Grid, first_label, read_grid
from dosvotos.readers.headers import BAR_LAYOUT
from dosvotos.readers.numbers import MISSING_MARKS, Numbers, read_numbers
from dosvotos.readers.stamps import read_stamps
from dosvotos.readers.unreadable import RowProblems

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

_PRICES: Final = ("open", "high", "low", "close")
_NUMBERS: Final = (*_PRICES, "volume")
_RULES: Final = {
    "not_nullable": ("no_value", "is empty; write a number, or leave the row out"),
    "not_negative": ("negative_volume", "{:g} is negative; correct it, or leave it empty"),
}
"""By the schema's check, the rule of a finding and what it says."""
_REMEDY: Final = "write 2025-07-01T13:00:00+00:00"


class TimedRows(NamedTuple):
    """The rows of a file of bars that have a timestamp, and those that cannot be read."""

    what: str
    """The file, as messages name it."""
    bars: pd.DataFrame
    """By row: timestamp (naive, or UTC if the file says its zone), open, high, low, close, volume (NaN
    throughout, where the file has none). Rows with a problem are among them; their prices may be NaN."""
    problems: pd.DataFrame
    """By row: rule and detail of what cannot be read."""


def read_bars(path: Path) -> TimedRows:
    """Read a file of bars in any usual container and dialect.

    Raises
    ------
    DataError
        Naming file, line, column, value and remedy, if the file, or a mark or date in it, can be read in two
        ways or not at all, if no row can be read, or if some timestamps say their zone and others do not.
    """
    grid = read_grid(path, BAR_LAYOUT)
    try:
        return _read(grid)
    except DataError as error:
        raise DataError(f"{grid.what}: {error}") from error


def _read(grid: Grid) -> TimedRows:
    from dosvotos.readers.schemas import BAR_ROWS

    if grid.cells.empty:
        raise DataError("holds a header and no bars; export it again")
    problems = RowProblems(grid)
    problems.add_uneven()
    rows = grid.take(grid.uneven == 0)
    day_first = True if grid.is_utc else None  # Dukascopy, whose files begin with "Gmt time", writes 01.12.
    stamps = read_stamps(rows, "timestamp", day_first)
    wall = stamps.wall.where(~stamps.is_month)
    problems.add_dates("timestamp", wall, BAR_LAYOUT, _REMEDY)
    timed, wall = rows.take(wall.notna()), wall.dropna()
    numbers = read_numbers(timed, [name for name in _NUMBERS if name in timed.cells])
    numbers = _without_missing_volumes(timed, numbers)
    problems.add_texts(numbers)
    cells = numbers.values.reindex(columns=list(_NUMBERS))
    _add_violations(problems, cells, BAR_ROWS)
    found = problems.frame()
    if cells.index.isin(found.index).all():
        raise DataError(
            f"none of its {len(grid.cells):,} rows can be read, first: {found['detail'].iloc[0]}; correct "
            "them"
        )
    times = instants(timed, wall, stamps.offset[wall.index])
    bars = cells.assign(timestamp=times, volume=_whole(cells["volume"]))
    return TimedRows(grid.what, bars[["timestamp", *_NUMBERS]], found)


def _without_missing_volumes(rows: Grid, numbers: Numbers) -> Numbers:
    """Take a mark for none in the volumes for no volume: a currency has none."""
    if "volume" in numbers.is_text and numbers.is_text["volume"].any():
        is_mark = rows.cells["volume"].astype("str").str.casefold().isin(MISSING_MARKS)
        is_text = numbers.is_text.assign(volume=numbers.is_text["volume"] & ~is_mark)
        return numbers._replace(is_text=is_text)
    return numbers


def _add_violations(problems: RowProblems, cells: pd.DataFrame, schema: "DataFrameSchema") -> None:
    """Note the rows that break the schema: an empty price, a negative volume."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(cells, lazy=True)
    except SchemaErrors as error:
        for (check, name), cases in error.failure_cases.groupby(["check", "column"]):
            rule, says = _RULES[check]
            broken = pd.Series(cells.index.isin(cases["index"]), index=cells.index)
            problems.add(rule, broken, partial(_violation, says, name, cells))


def _violation(says: str, name: str, cells: pd.DataFrame, row: int) -> str:
    return f": {name} {says.format(cells[name][row])}"


def instants(rows: Grid, wall: pd.Series, offset: pd.Series) -> pd.Series:
    """Return UTC instants where the timestamps say their zone, else wall clocks.

    Raises
    ------
    DataError
        If some say it and others do not.
    """
    if rows.is_utc:
        offset = offset.fillna(pd.Timedelta(0))
    naive = offset.isna()
    if naive.all():
        return wall
    if naive.any():
        label = first_label(naive)
        raise DataError(
            f"{int((~naive).sum()):,} timestamps carry a zone and {int(naive.sum()):,} do not, first "
            f"{rows.cells['timestamp'][label]!r} in {rows.place(label)}; {_REMEDY} everywhere"
        )
    return (wall - offset).dt.tz_localize("UTC")


def _whole(volume: pd.Series) -> pd.Series:
    """Return volumes as integers where all are: a count of ticks keeps its kind, whatever the file."""
    is_whole = volume.notna().all() and (volume % 1 == 0).all()
    return volume.astype("int64") if is_whole else volume
