"""Read a file of fills: what a desk traded, when, and at which price."""

from pathlib import Path
from typing import Final, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

from dosvotos.errors import DataError
from dosvotos.readers.bars import instants
from dosvotos.readers.grids import Grid, read_grid
from dosvotos.readers.headers import FILL_LAYOUT
from dosvotos.readers.numbers import read_numbers
from dosvotos.readers.stamps import read_stamps
from dosvotos.readers.unreadable import RowProblems

_SIDES: Final = {"BUY": ("buy", "b", "bought", "compra", "c"), "SELL": ("sell", "s", "sold", "venta", "v")}
_REMEDY: Final = "write 2025-07-01T13:00:00+00:00"
_SHOWN: Final = 5
_LARGEST: Final = 1e12
"""Of a quantity (USD) or a price (COP); more is a defect, and sums would no longer be exact."""


def read_fills(path: Path, timezone: str | None = None) -> pd.DataFrame:
    """Read fills in any usual container and dialect, as bars are read; all of them or none.

    Parameters
    ----------
    path : Path
    timezone : str, optional
        IANA zone of times that carry none.

    Returns
    -------
    DataFrame
        time (UTC), side (``BUY`` or ``SELL``), quantity and price (both above 0), in time order.

    Raises
    ------
    DataError
        Naming file, line, column, value and remedy, if a row or the file cannot be read, or in two ways; if
        times carry no zone and none that is known is stated, or one does not exist once in it.
    """
    grid = read_grid(path, FILL_LAYOUT)
    try:
        return _read(grid, timezone)
    except DataError as error:
        raise DataError(f"{grid.what}: {error}") from error


def _read(grid: Grid, timezone: str | None) -> pd.DataFrame:
    if grid.cells.empty:
        raise DataError("holds a header and no fills; export it again")
    problems = RowProblems(grid)
    problems.add_uneven()
    stamps = read_stamps(grid, "timestamp")
    wall = stamps.wall.where(~stamps.is_month)
    problems.add_dates("timestamp", wall, FILL_LAYOUT, _REMEDY)
    numbers = read_numbers(grid, ["quantity", "price"])
    problems.add_texts(numbers)
    for name in ("quantity", "price"):
        wrong = ~(numbers.values[name] > 0)
        problems.add(name, wrong, lambda _, name=name: f": {name} must be above 0; the side says which way")  # type: ignore[misc]
        large = numbers.values[name] > _LARGEST
        problems.add(name, large, lambda _, name=name: f": {name} must be at most {_LARGEST:g}; correct it")  # type: ignore[misc]
    written = grid.cells["side"].astype("str").str.strip()
    known = {word: side for side, words in _SIDES.items() for word in words}
    sides = written.str.casefold().map(known)
    problems.add("side", sides.isna(), lambda row: f": side {written[row]!r} is neither BUY nor SELL")
    if len(found := problems.frame()):
        shown = "\n".join(f"  - {detail}" for detail in found["detail"].iloc[:_SHOWN])
        raise DataError(f"{len(found):,} row(s) cannot be read, so none was imported; correct them:\n{shown}")
    times = _in_utc(instants(grid, wall, stamps.offset), timezone)
    fills = numbers.values.assign(time=times, side=sides)[["time", "side", "quantity", "price"]]
    return fills.sort_values("time", kind="stable", ignore_index=True)


def _in_utc(times: pd.Series, timezone: str | None) -> pd.Series:
    if times.dt.tz is not None:
        return times
    if timezone is None:
        raise DataError(f"its times carry no zone; add --timezone America/Bogota, or {_REMEDY}")
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # a folder of zones is an OSError
        raise DataError(f"--timezone {timezone!r}: is no time zone; write America/Bogota") from error
    try:
        return cast(pd.Series, times.dt.tz_localize(zone).dt.tz_convert("UTC"))
    except ValueError as error:
        raise DataError(f"a time does not exist once in {timezone}: {error}; {_REMEDY}") from error
