"""Numbers as people write them: the one decimal mark with which all cells of a file can be read.

1,234.5 and 1.234,5 say their marks, and so do 3740,57 and 3 740.57. Of 1.234 and 1,234 only other cells, or
the delimiter, can say whether the mark groups thousands: between semicolons, which spreadsheets write where
the comma is the decimal mark, a comma is one; between commas a point is one. Nothing else is guessed.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.readers.grids import Grid, first_label

MISSING: Final = ("", "nan", "na", "n/a", "null", "none", "<na>", "nat", "#n/a")
"""Cells that hold no value, as programs write one, casefolded."""
MISSING_MARKS: Final = (*MISSING, "-", "--", "\u2013", "\u2014", "n.d.", "n.d", "nd", "s/d", "n.a.", "...")
"""And as people write one."""

_READINGS: Final = {
    ".": r"[+-]?(?:(?:\d+|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?",
    ",": r"[+-]?(?:(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?",
}
"""Pattern of a number by its decimal mark; the other mark groups thousands."""
_OTHER_MARK: Final = {".": ",", ",": "."}
_SPACED: Final = re.compile(
    r"([+-]?\d{1,3})([ \u00a0\u2007\u2009\u202f'\u2019])(\d{3})(?:\2\d{3})*([.,]\d*)?"
)
_CURRENCY: Final = re.compile(r"^([+-]?)\$\s*")
_HOW_TO_SAY: Final = (
    "write decimal commas between semicolons, or decimal points between commas, and no mark for thousands"
)


class Numbers(NamedTuple):
    """The numbers of a grid's columns."""

    values: pd.DataFrame
    """float64; NaN where a cell is empty or no number."""
    is_text: pd.DataFrame
    """Whether a cell is neither empty nor a number."""


def read_numbers(grid: Grid, columns: Sequence[str]) -> Numbers:
    """Read columns of numbers that one program wrote, so that one decimal mark holds for all.

    Raises
    ------
    DataError
        If cells contradict each other, or no cell says what a mark means: with both readings and the line.
    """
    values = {name: _typed(grid.cells[name]) for name in columns}
    if all(column.notna().all() for column in values.values()):
        return Numbers(
            pd.DataFrame(values), pd.DataFrame(False, index=grid.cells.index, columns=list(columns))
        )
    texts = {name: _cleaned(grid.cells[name][values[name].isna()]) for name in columns}
    fits = {
        mark: {name: text.str.fullmatch(pattern).astype(bool) for name, text in texts.items()}
        for mark, pattern in _READINGS.items()
    }
    mark = _decimal_mark(grid, texts, fits)
    is_text = {}
    for name, text in texts.items():
        is_number = fits[mark][name]
        values[name] = _fill(values[name], _to_float(text[is_number], mark))
        other = ~is_number & ~text.str.casefold().isin(MISSING)
        is_text[name] = other.reindex(grid.cells.index, fill_value=False)
    return Numbers(pd.DataFrame(values), pd.DataFrame(is_text))


def _typed(column: pd.Series) -> pd.Series:
    """Return the numbers of a column that are typed as such; NaN for text."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.astype("float64")
    if column.dtype != object:
        return pd.Series(np.nan, index=column.index)
    is_number = column.map(lambda cell: isinstance(cell, (int, float, Decimal)))
    return column.where(is_number).astype("float64")


def _cleaned(column: pd.Series) -> pd.Series:
    """Return cells as text without a currency sign and without blanks that group thousands."""
    text = column.astype("str").fillna("")
    odd = ~text.str.fullmatch(r"[0-9.+-]*").astype(bool)
    if not odd.any():
        return text
    cleaned = text[odd].str.replace("\u2212", "-").str.replace(_CURRENCY, r"\1", regex=True)
    spaced = cleaned.map(lambda cell: _SPACED.fullmatch(cell) is not None).astype(bool)
    joined = cleaned[spaced].str.replace(r"[^0-9.,+-]", "", regex=True)
    return text.where(~odd, cleaned.where(~spaced, joined).reindex(text.index))


def _decimal_mark(grid: Grid, texts: dict[str, pd.Series], fits: dict[str, dict[str, pd.Series]]) -> str:
    """Decide the decimal mark by the cells that can be read with one only, else by the delimiter."""
    only = {
        mark: _first(texts, {name: own & ~fits[_OTHER_MARK[mark]][name] for name, own in by_name.items()})
        for mark, by_name in fits.items()
    }
    with_point, with_comma = only["."], only[","]
    if with_point and with_comma:
        found = " but ".join(
            f"{grid.place(label)} has {name} {cell!r}" for label, name, cell in (with_point, with_comma)
        )
        raise DataError(f"decimal points and decimal commas are mixed: {found}; write all numbers alike")
    if with_point or with_comma:
        return "." if with_point else ","
    with_comma, with_point = (
        _first(texts, {n: fits["."][n] & text.str.contains(sign, regex=False) for n, text in texts.items()})
        for sign in ",."
    )
    if with_comma and grid.delimiter == ";":
        return ","
    if not with_comma and (not with_point or grid.delimiter == ","):
        return "."
    label, name, cell = with_comma or with_point or (0, "", "")
    either = " or ".join(f"{_to_float(pd.Series([cell]), mark)[0]:g}" for mark in ".,")
    raise DataError(
        f"{grid.place(label)}: {name} {cell!r} may mean {either}, as its mark may be for decimals or for "
        f"thousands, and no cell decides it; {_HOW_TO_SAY}"
    )


def _first(texts: dict[str, pd.Series], chosen: dict[str, pd.Series]) -> tuple[int, str, str] | None:
    """Return row, column and cell of the first chosen cell; None if there is none."""
    hits = [(first_label(rows), name) for name, rows in chosen.items() if rows.any()]
    if not hits:
        return None
    label, name = min(hits)
    return label, name, str(texts[name][label])


def _to_float(text: pd.Series, mark: str) -> pd.Series:
    grouping = _OTHER_MARK[mark]
    if text.str.contains(grouping, regex=False).any():
        text = text.str.replace(grouping, "", regex=False)
    if mark == ",":
        text = text.str.replace(",", ".", regex=False)
    return text.astype("float64")


def _fill(values: pd.Series, found: pd.Series) -> pd.Series:
    return found if len(found) == len(values) else values.where(values.notna(), found.reindex(values.index))
