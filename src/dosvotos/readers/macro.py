"""Read a file of macro values: a variable, a date and a value a row."""

from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.readers.grids import Grid, read_grid
from dosvotos.readers.headers import MACRO_LAYOUT
from dosvotos.readers.numbers import read_numbers
from dosvotos.readers.stamps import Stamps, read_stamps
from dosvotos.readers.unreadable import LINE_RULES, RowProblems, to_findings

_REMEDY: Final = "write dates as 2025-07-01"
_UNNAMED: Final = "macro"
"""Subject of findings about rows without a variable."""


class DatedRows(NamedTuple):
    """The observations of a file, and those that cannot be read."""

    macro: pd.DataFrame
    """variable, observation_date (datetime.date), value (NaN where the cell is empty)."""
    unreadable: pd.DataFrame
    """Findings, as in `quality.findings`."""


def read_macro(path: Path, variables: Collection[str] = (), months: bool = False) -> DatedRows:
    """Read a file of macro values in any usual container and dialect.

    Parameters
    ----------
    path : Path
    variables : collection of str
        Known names: one in other letters or padded is read as the name it can only be. None: as written.
    months : bool
        Whether a date may be a month, such as 2025-07 or jul-25, which is its first day.

    Raises
    ------
    DataError
        Naming file, line, column, value and remedy, if the file, or a mark or date in it, can be read in two
        ways or not at all, if it is empty, or if it names no known variable.
    """
    grid = read_grid(path, MACRO_LAYOUT)
    try:
        return _read(grid, variables, months)
    except DataError as error:
        raise DataError(f"{grid.what}: {error}") from error


def known_names(written: pd.Series, variables: Collection[str]) -> pd.Series:
    """Return the known name of each written one, where blanks and case decide it; else as written, stripped.

    Raises
    ------
    DataError
        If none is known.
    """
    folded: dict[str, list[str]] = {}
    for name in variables:
        folded.setdefault(name.casefold(), []).append(name)
    code, texts = pd.factorize(written.astype("str"))
    meant = []
    for name in (text.strip() for text in texts):
        alike = [name] if name in variables else folded.get(name.casefold(), [])
        meant.append(alike[0] if len(alike) == 1 else name)
    if variables and meant and not set(meant) & set(variables):
        unknown = list(dict.fromkeys(meant))
        raise DataError(
            f"none of its {len(unknown)} variable name(s) stands in macro_variables.yml: "
            f"{', '.join(map(repr, unknown[:5]))}; correct them, docs/data.md lists the names"
        )
    return pd.Series(pd.Index(meant, dtype="str").take(code), index=written.index, name=written.name)


def _read(grid: Grid, variables: Collection[str], months: bool) -> DatedRows:
    if grid.cells.empty:
        raise DataError("holds a header and no values; export it again, or leave the file out")
    problems = RowProblems(grid)
    problems.add_uneven()
    rows = grid.take(grid.uneven == 0)
    day = _days(read_stamps(rows, "observation_date"), months)
    problems.add_dates("observation_date", day, MACRO_LAYOUT, _REMEDY)
    dated, day = rows.take(day.notna()), day.dropna()
    blank = grid.cells["variable"].isin(["", np.nan])
    problems.add("blank_variable", blank, lambda _: ": variable is blank; name it, or delete the row")
    numbers = read_numbers(dated, ["value"])
    problems.add_texts(numbers)
    found = problems.frame()
    if day.empty:
        raise DataError(
            f"none of its {len(grid.cells):,} rows can be read, first: {found['detail'].iloc[0]}; correct "
            "them"
        )
    is_named = ~blank & ~blank.index.isin(found.index[found["rule"].isin(LINE_RULES)])
    names = known_names(grid.cells["variable"][is_named], variables)
    columns = {"variable": names, "observation_date": _dates(day), "value": numbers.values["value"]}
    if len(found):
        kept = day.index.difference(found.index, sort=False)
        columns = {name: column[kept] for name, column in columns.items()}
    macro = pd.DataFrame(columns).reset_index(drop=True)
    subject = names.reindex(found.index).fillna(_UNNAMED).str[:64]
    return DatedRows(macro, to_findings(found, subject, day.dt.tz_localize("UTC"), "files"))


def _dates(day: pd.Series) -> pd.Series:
    """Return days as ``datetime.date``, each made once."""
    number, days = pd.factorize(day)
    return pd.Series(pd.DatetimeIndex(days).date[number], index=day.index, dtype=object)


def _days(stamps: Stamps, months: bool) -> pd.Series:
    """Return the day of each stamp; NaT for a month where days are asked for, and for a moment of a zone.

    A moment such as midnight in Bogota written as 05:00 UTC belongs to two days.
    """
    midnight = stamps.wall.dt.normalize()
    is_day = (stamps.wall == midnight) | stamps.offset.isna()
    return cast(pd.Series, midnight.where(is_day & (~stamps.is_month | months)))
