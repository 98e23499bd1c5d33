"""Tables as the templates take them: every cell a text, its marks beside it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from numbers import Real
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.formats import COUNT, MISSING, Form
from dosvotos.reports.bilingual import BOTH, Text, Written

_YES_NO: Final = {True: Text("yes", "sí"), False: Text("no", "no")}


class Cell(NamedTuple):
    """What stands in one cell."""

    text: Written
    bad: bool = False
    """Whether it asks for attention."""
    best: bool = False
    """Whether it is the best of its row."""
    field: str = ""
    """Path of the record's field that it shows."""
    is_path: bool = False
    """Whether the text is itself the path of a field."""


class Column(NamedTuple):
    """One column's head."""

    name: Written
    css: str
    """``n`` for numbers, ``t`` for dates and moments, or none."""


class Table(NamedTuple):
    """Columns and rows, each row as long as the columns are many."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(
    rows: pd.DataFrame | Sequence[Mapping[Any, object]],
    forms: Mapping[Any, Form] | None = None,
    right: Collection[Written] = (),
) -> Table:
    """Write a table's values by their nature.

    Parameters
    ----------
    rows : DataFrame, or sequence of mappings with the same keys
        Columns are named by str or Text. A `Cell` stays as it is. What is missing is shown as a dash, a
        moment with a time zone in UTC to the minute.
    forms : mapping of Form by column
        Of numbers; without one they have five significant digits.
    right : collection of str or Text
        Columns set to the right although they hold more than numbers.
    """
    cells = pd.DataFrame(rows, dtype=object)
    columns: dict[Any, list[Any]] = {name: cells[name].tolist() for name in cells}
    shown = [[_cell(v, (forms or {}).get(name)) for v in values] for name, values in columns.items()]
    heads = (Column(name, _css(values, name in right)) for name, values in columns.items())
    return Table(tuple(heads), tuple(zip(*shown, strict=True)))


def rows_table(
    rows: Iterable[Sequence[Any]], columns: Sequence[Written], right: Collection[Written] = ()
) -> Table:
    """Write a table whose rows are sequences, as long as `columns`."""
    return table(pd.DataFrame(list(rows), columns=list(columns), dtype=object), right=right)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _css(values: list[Any], right: bool) -> str:
    known = [value for value in values if not is_missing(value)]
    if right or (known and all(_is_number(value) for value in known)):
        return "n"
    return "t" if known and all(isinstance(value, date) for value in known) else ""


def is_missing(value: object) -> bool:
    """Tell whether a value is None, NaT or NaN."""
    return value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _cell(value: Any, form: Form | None) -> Cell:
    return value if isinstance(value, Cell) else Cell(_text(value, form))


def _text(value: Any, form: Form | None) -> Written:
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return _YES_NO[value]
    if _is_number(value):
        form = COUNT if form is None and isinstance(value, int) else form
        return BOTH.write(value, form) if form else BOTH.significant(value)
    if isinstance(value, pd.Timestamp):
        return BOTH.moment(value) if value.tzinfo else f"{value:%Y-%m-%d}"
    return value if isinstance(value, Text) else str(value)
