"""What the providers that answer with tables share: rows, columns, dates, and each date once."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from dosvotos.errors import SourceError
from dosvotos.sources.http import Answer, TryAgainError


def rows_of(answer: Answer) -> list[list[str]]:
    """Rows of a CSV with stripped cells, blank lines left out; rows of unequal length are half a document.

    Raises
    ------
    TryAgainError
    """
    lines = csv.reader(io.StringIO(answer.text(), newline=""))
    rows = [cells for line in lines if any(cells := [cell.strip() for cell in line])]
    if not rows:
        raise TryAgainError("answered with an empty table")
    for number, cells in enumerate(rows, 1):
        if len(cells) != len(rows[0]):
            raise TryAgainError(
                f"answered with half a table: row {number} has {len(cells)} of {len(rows[0])} cells"
            )
    return rows


def column_of(header: Sequence[str], name: str, what: str) -> int:
    """Position of the one column called `name`.

    Raises
    ------
    SourceError
        If there is none, or more than one.
    """
    if header.count(name) != 1:
        raise SourceError(f"{what}: expected one column {name!r}, found columns {list(header)}")
    return header.index(name)


def us_date(text: str, what: str) -> date:
    """A date written MM/DD/YYYY.

    Raises
    ------
    SourceError
    """
    try:
        return datetime.strptime(text, "%m/%d/%Y").date()
    except ValueError as error:
        raise SourceError(f"{what}: expected a date MM/DD/YYYY, found {text!r}") from error


def once(observations: Iterable[tuple[date, float | None]], what: str) -> list[tuple[date, float | None]]:
    """Each date once; a repetition that says the same is no conflict.

    Raises
    ------
    SourceError
        If a date stands twice with different values, or a value is not finite.
    """
    seen: dict[date, float | None] = {}
    for day, value in observations:
        if value is not None and not math.isfinite(value):
            raise SourceError(f"{what}: expected a finite number on {day}, found {value}")
        if seen.setdefault(day, value) != value:
            raise SourceError(
                f"{what}: {day} stands twice, with {seen[day]} and with {value}; none is chosen"
            )
    return list(seen.items())
