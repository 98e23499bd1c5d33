"""Rows of a readable file that cannot be read: each is put aside with its line and the reason."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pandas as pd

from dosvotos.quality.findings import FINDING_COLUMNS, QUARANTINED, no_findings
from dosvotos.readers.grids import Grid
from dosvotos.readers.headers import Layout, normalize_name
from dosvotos.readers.numbers import Numbers

LINE_RULES: Final = ("uneven_line", "repeated_header", "totals_row")
"""Rules about lines that are no rows."""
_TOTALS: Final = ("total", "subtotal", "sum", "suma", "average", "mean", "promedio", "media")


class RowProblems:
    """The rows of a grid that cannot be read; the first problem of a row counts."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._found: dict[int, tuple[str, str]] = {}

    def add(self, rule: str, rows: pd.Series, describe: Callable[[int], str]) -> None:
        """Note a problem of the chosen rows, in words that follow the row's place."""
        for label in rows.index[rows]:
            place = f"{self._grid.file} {self._grid.place(label)}"
            self._found.setdefault(label, (rule, f"{place}{describe(label)}"))

    def add_uneven(self) -> None:
        """Note lines that are cut, or have more cells than the header."""
        grid, width = self._grid, len(self._grid.header)
        remedy = (
            "complete it, or put cells with the delimiter in them, such as a decimal comma, between quotes"
        )
        self.add(
            "uneven_line",
            grid.uneven > 0,
            lambda row: f" has {grid.uneven[row]} cells, the header {width}; {remedy}",
        )

    def add_dates(self, key: str, wall: pd.Series, layout: Layout, remedy: str) -> None:
        """Note rows without a readable date: the header again, totals, a blank or wrong date."""
        if not (undated := wall.isna().reindex(self._grid.cells.index, fill_value=False)).any():
            return
        rows = self._grid.cells[undated]
        texts = rows.astype("str").fillna("").replace("nan", "")
        names = texts.map(normalize_name)
        is_header = names[key].isin((*layout.names_of(key), *layout.dates, *layout.time_of_day))
        self.add("repeated_header", is_header, lambda _: " repeats the header")
        first = names.apply(lambda row: next((cell for cell in row if cell), ""), axis=1)
        is_total = first.str.split(" ").str[0].str.rstrip(":").isin(_TOTALS)
        self.add("totals_row", is_total, lambda row: f" is a total, {first[row]!r}, and no row; delete it")
        blank = texts[key] == ""
        self.add("blank_date", blank, lambda _: f": {key} is blank; give the row its date, or delete it")
        is_date = pd.Series(True, index=rows.index)
        self.add("not_a_date", is_date, lambda row: f": {key} {texts[key][row]!r} is no date; {remedy}")

    def add_texts(self, numbers: Numbers) -> None:
        """Note rows with a cell that is no number; a percentage has two readings."""
        for name in map(str, numbers.is_text.columns):
            is_text = numbers.is_text[name]
            if not is_text.any():
                continue
            cells = self._grid.cells[name][is_text.index[is_text]].astype("str")
            percent = cells.str.fullmatch(r"[^%]*[0-9] ?%").astype(bool)
            self.add("percent_cell", percent, partial(_percent, name, cells))
            self.add("not_a_number", ~percent, partial(_no_number, name, cells))

    def frame(self) -> pd.DataFrame:
        """Return rule and detail by row, in the file's order."""
        columns = pd.DataFrame.from_dict(self._found, orient="index", columns=["rule", "detail"])
        return columns.sort_index()


def to_findings(problems: pd.DataFrame, subject: Any, at: pd.Series, source: str) -> pd.DataFrame:
    """Return problems as findings of the quality rules.

    Parameters
    ----------
    problems : DataFrame
        As `RowProblems.frame` gives them.
    subject : str or Series of str, by row
    at : Series of datetime64[us, UTC], by row
        Of the file's rows that have one; another row takes that of the row before it, else after it.
    source : str
    """
    if problems.empty:
        return no_findings()
    beside = at.reindex(at.index.union(problems.index)).ffill().bfill()
    found = problems.assign(
        severity=QUARANTINED, subject=subject, at=beside, value=float("nan"), source=source
    )
    return found[list(FINDING_COLUMNS)].astype(no_findings().dtypes.to_dict()).reset_index(drop=True)


def _percent(name: str, cells: pd.Series, row: int) -> str:
    number = cells[row].rstrip("% ")
    remedy = "write the number in the variable's unit, without the sign"
    return f": {name} {cells[row]!r} may mean {number} or a hundredth of it; {remedy}"


def _no_number(name: str, cells: pd.Series, row: int) -> str:
    return f": {name} {cells[row]!r} is no number; write a number, or leave the row out"
