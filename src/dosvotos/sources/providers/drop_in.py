"""Series without an API: CSV files that a person saves into the drop-in folder.

A file has a header, a date column (``fecha``, ``date`` or ``observation_date``) and value columns, separated
by semicolons, tabs or commas. Dates are 2025-01-31, 31/01/2025, 2025-01 or ene-25. An empty cell is missing.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from dosvotos.contracts.acquisition import Frequency
from dosvotos.errors import NotPublishedError, SourceError
from dosvotos.sources.providers.dates import parse_month, period_start
from dosvotos.sources.providers.parsing import normalize_text
from dosvotos.sources.series import FetchedSeries, SeriesRequest, build_series

_DATE_COLUMNS: Final = ("fecha", "date", "observation_date")
_SEPARATORS: Final = (";", "\t", ",")
_DATES: Final = (
    re.compile(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"),
    re.compile(r"(?P<day>\d\d?)/(?P<month>\d\d?)/(?P<year>\d{4})"),
)
_YEAR_AND_MONTH: Final = re.compile(r"(\d{4})-(\d\d)")
_PLAIN_NUMBERS: Final = {".": re.compile(r"[+-]?\d+(?:\.\d+)?")}
_GROUPED_NUMBERS: Final = {
    ".": re.compile(r"[+-]?(?:\d+|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?"),
    ",": re.compile(r"[+-]?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)(?:,\d+)?"),
}
"""Patterns of numbers by decimal mark, without and with the other mark as thousands separator."""


class _Column(NamedTuple):
    name: str
    separator: str
    cells: list[tuple[str, str]]
    """Date and value as written."""


def fetch(request: SeriesRequest, folder: Path) -> FetchedSeries:
    """Read all values of a file, in its unit; the series is ``FILE:COLUMN``, or ``FILE`` with one column.

    Values before the request's start are returned too: a person may add history at any time.
    """
    file, _, column = request.series.partition(":")
    context = f"drop-in file {folder / file}"
    if Path(file).name != file:
        raise SourceError(f"{context}: expected the name of a file in the drop-in folder, found {file!r}")
    if not (folder / file).is_file():
        raise NotPublishedError(
            f"{context}: not there; save a CSV under this name, with the header "
            f"fecha;{column or 'value'} and lines such as ene-25;-1,1 (docs/data.md)"
        )
    chosen = _column(_text(folder / file, context), column, context)
    dated = [(_period(written, request.frequency, context), raw) for written, raw in chosen.cells]
    if repeated := [day for day, times in Counter(day for day, _ in dated).items() if times > 1]:
        raise SourceError(f"{context}: each day or period may stand once, {repeated[0]} stands more often")
    valued = [(day, raw) for day, raw in dated if raw]
    if not valued:
        raise SourceError(f"{context}: column {chosen.name!r} holds no value")
    mark = _decimal_mark([raw for _, raw in valued], chosen.separator, context)
    return build_series([(day, _number(raw, mark)) for day, raw in valued], f"{file} {chosen.name}")


def _text(path: Path, context: str) -> str:
    content = path.read_bytes()
    if b"\0" in content:
        raise SourceError(f"{context}: no text; save it as CSV UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _column(text: str, name: str, context: str) -> _Column:
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((mark for mark in _SEPARATORS if mark in first), None)
    if separator is None:
        expected = f"a header such as fecha;{name or 'value'}"
        raise SourceError(f"{context}: expected {expected}, found {first[:80]!r}")
    header, *body = _rows(text, separator, context)
    dates = [i for i, title in enumerate(header) if normalize_text(title) in _DATE_COLUMNS]
    date_at = _require_one(dates, "date", header, context)
    values = [i for i, title in enumerate(header) if title and i != date_at]
    wanted = [i for i in values if normalize_text(header[i]) == normalize_text(name)] if name else values
    value_at = _require_one(wanted, name or "value", header, context)
    return _Column(header[value_at], separator, [(row[date_at], row[value_at]) for row in body])


def _rows(text: str, separator: str, context: str) -> list[list[str]]:
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise SourceError(f"{context}: no CSV: {error}") from error
    rows = [cells for line in lines if any(cells := [cell.strip() for cell in line])]
    if uneven := [cells for cells in rows if len(cells) != len(rows[0])]:
        raise SourceError(
            f"{context}: expected {len(rows[0])} cells a line, found {uneven[0]}; decimal commas need "
            "semicolons between columns"
        )
    return rows


def _require_one(found: Sequence[int], name: str, header: Sequence[str], context: str) -> int:
    if len(found) != 1:
        raise SourceError(f"{context}: expected one {name} column, found columns {list(header)}")
    return found[0]


def _period(text: str, frequency: Frequency, context: str) -> date:
    """The day itself, or the first day of the period whose first or last day or month is written."""
    day, is_month = _date(text, context)
    if frequency == "daily":
        if is_month:
            raise SourceError(f"{context}: expected a day, as the variable is daily, found {text!r}")
        return day
    first = period_start(day, frequency)
    ends = period_start(day + timedelta(days=1), frequency) != first
    ends_with_month = is_month and period_start(day + timedelta(days=31), frequency) != first
    if day != first and not ends and not ends_with_month:
        expected = f"a period's first or last day, as the variable is {frequency}"
        raise SourceError(f"{context}: expected {expected}, found {text!r}")
    return first


def _date(text: str, context: str) -> tuple[date, bool]:
    """Parse a day, or a month to its first day, and whether it was a month."""
    try:
        for form in _DATES:
            if match := form.fullmatch(text):
                return date(int(match["year"]), int(match["month"]), int(match["day"])), False
        if match := _YEAR_AND_MONTH.fullmatch(text):
            return date(int(match[1]), int(match[2]), 1), True
    except ValueError as error:
        raise SourceError(f"{context}: {text!r} is no date (day/month/year)") from error
    if month := parse_month(text):
        return month, True
    expected = "a date as 2025-01-31, 31/01/2025, 2025-01 or ene-25"
    raise SourceError(f"{context}: expected {expected}, found {text!r}")


def _decimal_mark(texts: Sequence[str], separator: str, context: str) -> str:
    """The only decimal mark with which all numbers of a column can be read.

    In a file separated by commas it is a point. In one separated by semicolons, which spreadsheets write
    where the comma is the decimal mark, a comma is the decimal mark. Else 1.234 is ambiguous, unless another
    number of the column decides.
    """
    forms = _PLAIN_NUMBERS if separator == "," else _GROUPED_NUMBERS
    for text in texts:
        if not any(form.fullmatch(text) for form in forms.values()):
            expected = "a number such as 1234.5, or 1234,5 between semicolons"
            raise SourceError(f"{context}: expected {expected}, found {text!r}")
    fitting = [mark for mark, form in forms.items() if all(map(form.fullmatch, texts))]
    if not fitting:
        raise SourceError(f"{context}: decimal points and decimal commas are mixed; write all numbers alike")
    unclear = [text for text in texts if len({_number(text, mark) for mark in fitting}) > 1]
    if unclear and separator == ";" and any("," in text for text in texts):
        return ","
    if unclear:
        either = " or ".join(f"{_number(unclear[0], mark):g}" for mark in fitting)
        raise SourceError(
            f"{context}: {unclear[0]!r} may mean {either}; write decimal commas between semicolons, "
            "or decimal points between commas, and no mark for thousands"
        )
    return fitting[0]


def _number(text: str, mark: str) -> float:
    grouping = {".": ",", ",": "."}[mark]
    return float(text.replace(grouping, "").replace(mark, "."))
