"""The cells of a file below its header, by column and line, as written."""

import csv
import datetime as dt
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
import pandas as pd

from dosvotos.errors import DataError
from dosvotos.readers.containers import FORMATS, Content, decode, unpack
from dosvotos.readers.headers import (
    UTC_NAMES,
    Layout,
    describe_missing,
    find_header,
    match_columns,
    normalize_name,
)

_DELIMITERS: Final = (",", ";", "\t", "|")
_HEADER_LINES: Final = 100
"""Lines at the top among which the header is looked for."""
_DIRECTIVE: Final = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)


def first_label(chosen: pd.Series) -> int:
    """Return the label of the first chosen row."""
    return int(chosen.index[chosen][0])


class Grid(NamedTuple):
    """Rows of a table, one row a line of the file that is neither blank, nor a comment, nor the header."""

    what: str
    """The file, as messages name it."""
    file: str
    """The file's name alone."""
    cells: pd.DataFrame
    """By column of the layout; text stripped (``str``), or typed as a workbook or parquet gives it."""
    lines: pd.Series
    """Line of the text, row of the sheet, or row of the parquet file, from 1."""
    uneven: pd.Series
    """Cells found in a line that has more or fewer than the header, else 0."""
    delimiter: str
    """Between cells; empty where cells are no text."""
    header: tuple[str, ...]
    is_utc: bool = False
    """Whether the timestamp's name says UTC."""
    unit: str = "line"

    def place(self, label: int) -> str:
        """Name a row in a message about the file."""
        return f"{self.unit} {self.lines[label]}"

    def take(self, rows: pd.Series) -> "Grid":
        """Return the grid with a part of its rows."""
        return self._replace(cells=self.cells[rows], lines=self.lines[rows], uneven=self.uneven[rows])


def read_grid(path: Path, layout: Layout) -> Grid:
    """Read the cells of a file whose columns are those of `layout`, in any usual container and dialect.

    Raises
    ------
    DataError
        Naming the file, if it cannot be read, has no header with the columns, or names one of them twice.
    """
    content = unpack(path)
    try:
        read = {"text": _from_text, "xlsx": _from_workbook, "parquet": _from_parquet}[content.kind]
        return read(content, path, layout)
    except DataError as error:
        named = str(error).startswith(content.what)
        raise error if named else DataError(f"{content.what}: {error}; {FORMATS}") from error


# ---- text


def _from_text(content: Content, path: Path, layout: Layout) -> Grid:
    text = decode(content).replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise DataError("is no text: it holds zero bytes; save it as CSV UTF-8")
    head = text.split("\n", _HEADER_LINES)[:_HEADER_LINES]
    delimiter, last, names, columns = _find_dialect(head, layout)
    body = text.split("\n", last + 1)[last + 1] if text.count("\n") > last else ""
    rows = _parse_clean(body, delimiter, names, columns, layout)
    if rows is not None:
        uneven = pd.Series(0, index=rows.index)
    else:
        rows = _parse(body, delimiter, len(names), last + 2)
        rows = rows[~(rows == "").all(axis=1) & ~rows[0].str.startswith("#")]
        uneven = _uneven(rows, body, delimiter, names, columns, layout)
    return Grid(
        content.what, path.name, _columns(rows, columns), pd.Series(rows.index + last + 2, index=rows.index),
        uneven, delimiter, tuple(names), _stamp_name(names, columns) in UTC_NAMES,
    )  # fmt: skip


def _find_dialect(head: Sequence[str], layout: Layout) -> tuple[str, int, list[str], dict[str, list[int]]]:
    """Find the delimiter with which one of the first lines is a header, and that line."""
    blank = ["" if _DIRECTIVE.fullmatch(line) or line.startswith("#") else line for line in head]
    by_delimiter = {mark: _split(blank, mark) for mark in _DELIMITERS}
    for mark, rows in by_delimiter.items():
        if found := find_header(rows, layout):
            last, names, columns = found
            _refuse_data_above(rows[:last], len(names))
            return mark, last, names, columns
    widest = max(by_delimiter.values(), key=lambda rows: max(map(len, rows), default=0))
    raise DataError(describe_missing([row for row in widest if any(cell.strip() for cell in row)], layout))


def _split(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Split each line by itself: a quotation mark left open ends with it."""
    try:
        return [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
    except csv.Error as error:
        raise DataError(f"cannot be read as CSV: {error}; correct its lines") from error


def _refuse_data_above(rows: Sequence[Sequence[str]], width: int) -> None:
    """Raise DataError if a line above the header holds as many cells and a number: it may be data."""
    for index, row in enumerate(rows):
        filled = [cell for cell in row if cell.strip()]
        if len(filled) >= max(2, width - 1) and any(any(c.isdigit() for c in cell) for cell in filled):
            raise DataError(
                f"line {index + 1} stands above the header and looks like data: {filled[:6]}; move it below"
            )


def _parse_clean(
    body: str, delimiter: str, names: Sequence[str], columns: dict[str, list[int]], layout: Layout
) -> pd.DataFrame | None:
    """Parse lines whose numbers are all written plainly between commas; None if one is not.

    Such a file has one reading, the same as cell by cell, and takes a fifth of the time.
    """
    n_lines = body.count("\n") + (not body.endswith("\n"))
    plain = delimiter == "," and '"' not in body and "#" not in body
    if not body or not plain or body.count(",") != n_lines * (len(names) - 1):
        return None
    numeric = [index for name, own in columns.items() if name in layout.numeric for index in own]
    dtypes = {i: "float64" if i in numeric else "str" for i in range(len(names))}
    try:
        rows = _read_csv(body, ",", len(names), dtypes)
    except ValueError:
        return None
    if len(rows) != n_lines or not np.isfinite(rows[numeric].to_numpy()).all():
        return None
    texts = {i: rows[i].str.strip() for i, dtype in dtypes.items() if dtype == "str"}
    return pd.DataFrame({i: texts.get(i, rows[i]) for i in dtypes})


def _parse(body: str, delimiter: str, n_names: int, first_line: int) -> pd.DataFrame:
    """Parse lines to text cells, stripped, by line; a short line's missing cells are empty.

    A cell between quotation marks may go on over several lines.
    """
    lines = body.split("\n")
    width = max(n_names, 1 + max((line.count(delimiter) for line in lines), default=0))
    if not body.strip():
        return pd.DataFrame({i: pd.Series(dtype="str") for i in range(width)})
    try:
        rows: pd.DataFrame | None = _read_csv(body, delimiter, width, "str")
    except ValueError:
        rows = None
    if rows is None or len(rows) != len(lines) - body.endswith("\n"):
        rows = _parse_spanning(body, delimiter, n_names, width)
    if rows is None:
        is_odd = [line.count('"') % 2 == 1 for line in lines]
        line = first_line + (is_odd.index(True) if True in is_odd else 0)
        raise DataError(
            f"cannot be read as CSV: line {line} opens quotation marks that it does not close; close them, "
            "or take them out"
        )
    return cast(pd.DataFrame, rows.apply(lambda column: column.str.strip()))


def _parse_spanning(body: str, delimiter: str, n_names: int, width: int) -> pd.DataFrame | None:
    """Parse rows of which some hold line ends between quotation marks; None if one may hold another row."""
    rows, start = {}, 0
    reader = csv.reader(io.StringIO(body), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            swallows = any(cell.count(delimiter) >= n_names - 1 for cell in cells if "\n" in cell)
            if swallows or (reader.line_num - start > 1 and len(cells) != n_names):
                return None
            rows[start] = [*cells, *[""] * (width - len(cells))]
            start = reader.line_num
    except csv.Error:
        return None
    return pd.DataFrame.from_dict(rows, orient="index", columns=range(width), dtype="str")


def _read_csv(body: str, delimiter: str, width: int, dtype: Any) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(body), sep=delimiter, header=None, names=list(range(width)), dtype=dtype,
        na_filter=False, skip_blank_lines=False, index_col=False, float_precision="round_trip",
    )  # fmt: skip


def _uneven(
    rows: pd.DataFrame, body: str, delimiter: str, names: Sequence[str],
    columns: dict[str, list[int]], layout: Layout,
) -> pd.Series:  # fmt: skip
    """Return how many cells a line has where these are too many, or too few for a needed column; else 0."""
    found = pd.Series(0, index=rows.index)
    beyond = rows[list(range(len(names), rows.shape[1]))]
    suspect = (beyond != "").any(axis=1) | (rows[len(names) - 1] == "")
    if not suspect.any():
        return found
    needed = max(index for name, own in columns.items() if name not in layout.optional for index in own)
    lines = body.split("\n")
    last = len(lines) - 1  # empty where the text ends with a line end
    for label in rows.index[suspect]:
        if lines[label].count('"') % 2:  # goes on in the next line, and was found to be whole
            continue
        n_cells = len(_split([lines[label]], delimiter)[0])
        is_cut = label == last and n_cells < len(names)
        if n_cells <= needed or is_cut or beyond.loc[label].ne("").any():
            found[label] = n_cells
    return found


# ---- workbooks


def _from_workbook(content: Content, path: Path, layout: Layout) -> Grid:
    import openpyxl

    try:
        book = openpyxl.load_workbook(io.BytesIO(content.data), read_only=True, data_only=True)
        sheets = {sheet.title: _sheet_rows(sheet) for sheet in book.worksheets}
    except Exception as error:  # openpyxl raises whatever the XML inside makes it raise
        raise DataError(f"cannot be read as xlsx: {error}; save it again, or as CSV") from error
    filled = {title: rows for title, rows in sheets.items() if rows}
    if len(filled) != 1:
        found = f"{len(filled)} sheets with cells, {', '.join(filled)}" if filled else "no cell"
        raise DataError(f"a workbook must hold one table, holds {found}; keep one sheet")
    [numbered] = filled.values()
    head = [row for _, row in numbered[:_HEADER_LINES]]
    found_header = find_header(head, layout)
    if found_header is None:
        raise DataError(describe_missing(head, layout))
    last, names, columns = found_header
    body = numbered[last + 1 :]
    rows = pd.DataFrame([row for _, row in body], dtype=object)
    rows = rows.reindex(columns=range(max(rows.shape[1], len(names))), fill_value="").fillna("")
    lines = pd.Series([number for number, _ in body], index=rows.index, dtype="int64")
    beyond = (rows[list(range(len(names), rows.shape[1]))] != "").any(axis=1)
    uneven = (rows != "").sum(axis=1).where(beyond, 0)
    is_utc = _stamp_name(names, columns) in UTC_NAMES
    return Grid(
        content.what, path.name, _columns(rows, columns), lines, uneven, "", tuple(names), is_utc, "row"
    )


def _sheet_rows(sheet: Any) -> list[tuple[int, list[Any]]]:
    """Rows of a sheet that hold a cell, with their numbers; a percentage is the text that is shown."""
    sheet.reset_dimensions()
    rows = ((number, [_cell(cell) for cell in row]) for number, row in enumerate(sheet.iter_rows(), 1))
    return [(number, row) for number, row in rows if any(cell != "" for cell in row)]


def _cell(cell: Any) -> Any:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)) and "%" in (cell.number_format or ""):
        return f"{value * 100:g}%"
    return value


# ---- parquet


def _from_parquet(content: Content, path: Path, layout: Layout) -> Grid:
    try:
        frame = pd.read_parquet(io.BytesIO(content.data))
    except Exception as error:  # pyarrow has no common class of errors
        raise DataError(f"cannot be read as parquet: {error}; write it again") from error
    frame = _name_index(_flatten(frame), layout)
    names = [str(name) for name in frame.columns]
    columns = match_columns(names, layout)
    if any(name not in columns for name in layout.required):
        raise DataError(describe_missing([names], layout))
    frame = frame.set_axis(range(len(names)), axis=1).reset_index(drop=True)
    lines = pd.Series(np.arange(len(frame)) + 1, index=frame.index)
    cells = _columns(frame.apply(_plain), columns)
    return Grid(
        content.what, path.name, cells, lines, lines * 0, "", tuple(names),
        _stamp_name(names, columns) in UTC_NAMES, "row",
    )  # fmt: skip


def _flatten(frame: pd.DataFrame) -> pd.DataFrame:
    """Name the columns of yfinance, pairs of price and ticker, by the price."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame
    levels = [frame.columns.get_level_values(i) for i in range(frame.columns.nlevels)]
    is_price = [any(normalize_name(name) == "close" for name in level) for level in levels]
    tickers = {
        str(name) for level, price in zip(levels, is_price, strict=True) if not price for name in level
    }
    if sum(is_price) != 1 or len(tickers - {""}) > 1:
        raise DataError(f"holds columns of {sorted(tickers)}; write one file for USD/COP alone")
    return frame.set_axis(levels[is_price.index(True)], axis=1)


def _name_index(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Make an index of times or names columns; one of times without a name is the layout's dates."""
    if isinstance(frame.index, pd.RangeIndex) and frame.index.name is None:
        return frame
    if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None:
        column = next(name for name in layout.names if name in {"timestamp", "observation_date"})
        return frame.rename_axis(column).reset_index()
    named = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=named) if named else frame


def _plain(column: pd.Series) -> pd.Series:
    """Undo categories and Arrow's own types; text is stripped, and a missing text is empty."""
    if isinstance(column.dtype, pd.ArrowDtype):
        column = column.array.__arrow_array__().to_pandas().set_axis(column.index)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("str")
    if isinstance(column.dtype, pd.StringDtype):
        return column.fillna("").str.strip()
    if column.dtype == object:
        return column.where(column.notna(), "")
    return column


# ---- both


def _columns(rows: pd.DataFrame, columns: dict[str, list[int]]) -> pd.DataFrame:
    """Pick the columns of a layout; a date and its time of day are joined to one text."""
    cells = {name: rows[own[0]] for name, own in columns.items()}
    for name, own in columns.items():
        if len(own) > 1:
            date, clock = (rows[index].map(_text_of_time) for index in own)
            cells[name] = (date + " " + clock).str.strip()
    return pd.DataFrame(cells, index=rows.index)


def _text_of_time(cell: Any) -> str:
    """Write a cell of a date or of a time of day as text; a workbook's date has a midnight to drop."""
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        return cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, (dt.date, dt.time)) else str(cell)


def _stamp_name(names: Sequence[str], columns: dict[str, list[int]]) -> str:
    own = list(itertools.chain(columns.get("timestamp", []), columns.get("observation_date", [])))
    return normalize_name(names[own[0]]) if own else ""
