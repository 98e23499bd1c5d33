"""Tables as the templates take them: every cell a text, its marks beside it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from numbers import Real
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dosvotos.formats import COUNT, MISSING, Form, Formats

EN: Final = Formats("en")
"""The pages are written in English."""


class Cell(NamedTuple):
    """What stands in one cell."""

    text: str
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

    name: str
    css: str
    """``n`` for numbers, ``t`` for dates and moments, or none."""


class Table(NamedTuple):
    """Columns and rows, each row as long as the columns are many."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table(
    rows: pd.DataFrame | Sequence[Mapping[str, object]],
    forms: Mapping[str, Form] | None = None,
    right: Collection[str] = (),
) -> Table:
    """Write a table's values by their nature.

    Parameters
    ----------
    rows : DataFrame, or sequence of mappings with the same keys
        A `Cell` stays as it is. What is missing is shown as a dash, a moment with a time zone in UTC to the
        minute.
    forms : mapping of Form by column
        Of numbers; without one they have five significant digits.
    right : collection of str
        Columns set to the right although they hold more than numbers.
    """
    cells = pd.DataFrame(rows, dtype=object)
    columns = {str(name): cells[name].tolist() for name in cells}
    shown = [[_cell(v, (forms or {}).get(name)) for v in values] for name, values in columns.items()]
    heads = (Column(name, _css(values, name in right)) for name, values in columns.items())
    return Table(tuple(heads), tuple(zip(*shown, strict=True)))


def rows_table(rows: Iterable[Sequence[Any]], columns: Sequence[str], right: Collection[str] = ()) -> Table:
    """Write a table whose rows are sequences, as long as `columns`."""
    return table(pd.DataFrame(list(rows), columns=list(columns), dtype=object), right=right)


def significant_digits(value: float) -> str:
    """Write five significant digits, or two decimals from a thousand on; a dash for NaN."""
    if np.isnan(value):
        return MISSING
    return EN.number(value) if abs(value) >= 1000 else f"{value:.5g}"


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


def _text(value: Any, form: Form | None) -> str:
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_number(value):
        form = COUNT if form is None and isinstance(value, int) else form
        return EN.write(value, form) if form else significant_digits(value)
    if isinstance(value, pd.Timestamp):
        return EN.moment(value) if value.tzinfo else f"{value:%Y-%m-%d}"
    return str(value)
