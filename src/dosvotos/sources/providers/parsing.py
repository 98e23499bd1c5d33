"""Parsing that providers share: text, numbers, CSV tables, and repeated dates.

What cannot be parsed raises SourceError, whose message starts with `context`: the provider and its series.
"""

import csv
import io
import math
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from datetime import date

from dosvotos.errors import SourceError
from dosvotos.sources.http import Response, RetryableError

Observation = tuple[date, float | None]


def normalize_text(text: str) -> str:
    """Text without accents, case and repeated spaces, for comparing names."""
    decomposed = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).casefold().split())


def parse_number(raw: object, missing: Collection[str], context: str) -> float | None:
    """Parse a number as a provider writes it; None for an empty cell or one of its `missing` marks."""
    if raw is None:
        return None
    text = str(raw).strip()
    if text == "" or text in missing:
        return None
    try:
        return float(text.replace("_", "?"))  # Python reads 1_000 as a number
    except ValueError as error:
        raise SourceError(f"{context}: expected a number, found {text!r}") from error


def read_csv_rows(response: Response) -> list[list[str]]:
    """Rows of a CSV table with stripped cells, without blank lines.

    Raises
    ------
    RetryableError
        If there are no rows, or rows of unequal length: the table was cut off.
    """
    lines = csv.reader(io.StringIO(response.text(), newline=""))
    rows = [cells for line in lines if any(cells := [cell.strip() for cell in line])]
    if not rows:
        raise RetryableError("answered with an empty table")
    for row_number, cells in enumerate(rows, 1):
        if len(cells) != len(rows[0]):
            row = f"row {row_number} has {len(cells)} of {len(rows[0])} cells"
            raise RetryableError(f"answered with half a table: {row}")
    return rows


def find_column(header: Sequence[str], name: str, context: str) -> int:
    """Index of the column called `name`, which must occur once."""
    if header.count(name) != 1:
        raise SourceError(
            f"{context}: expected one column {name!r}, found columns {list(header)}; "
            "correct the series in macro_variables.yml"
        )
    return header.index(name)


def parse_observations(
    rows: Iterable[tuple[date, object]], context: str, missing: Collection[str] = (), start: date = date.min
) -> list[Observation]:
    """Parse dated numbers from `start` on, each date once, as `parse_number` and `deduplicate` do."""
    numbers = [(day, parse_number(raw, missing, f"{context} {day}")) for day, raw in rows if day >= start]
    return deduplicate(numbers, context)


def deduplicate(observations: Iterable[Observation], context: str) -> list[Observation]:
    """Keep each date once; two different values of a date, or one that is not finite, are errors."""
    seen: dict[date, float | None] = {}
    for day, value in observations:
        if value is not None and not math.isfinite(value):
            raise SourceError(f"{context}: expected a finite number on {day}, found {value}")
        if seen.setdefault(day, value) != value:
            twice = f"{day} stands twice, with {seen[day]} and with {value}"
            raise SourceError(f"{context}: {twice}; none is chosen")
    return list(seen.items())
