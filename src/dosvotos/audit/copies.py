"""The log of decisions against a copy that somebody kept: of its checkpoints, or of the log itself.

The database and its home can be exchanged together, by whoever has both. A copy kept elsewhere cannot: every
signal carries a checkpoint, `audit list --csv` writes the whole log.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row

from dosvotos.audit.checkpoints import LostStates, contradiction, lost_states, open_home
from dosvotos.audit.log import read_audit_log
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import LineageError, SignatureError
from dosvotos.files import read_regular_file
from dosvotos.signing.checkpoint import FIRST_LINE, parse_note, split_notes

COLUMNS: Final = tuple(column.name for column in approval_audit_log.columns)
"""Of a copy of the log, in this order."""
_MAX_BYTES: Final = 1 << 30


def csv_of_log(rows: Sequence[Row[Any]]) -> str:
    """Write a copy of the log: a line a row, all columns."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row._mapping[name]) for name in COLUMNS] for row in rows)
    return written.getvalue()


def read_copy(file: Path) -> str:
    """Read a copy's text; raises FileError if it is no regular file or has more than 1 GiB."""
    return read_regular_file(file, _MAX_BYTES).decode("utf-8", "replace")


def compare_copy(connection: Connection, content: str) -> list[str]:
    """Name everything in which the log is not what a copy of its checkpoints, or of itself, says.

    Parameters
    ----------
    connection : Connection
    content : str
        Checkpoints as the home, a signal or an exported vote holds them, or what ``audit list --csv`` wrote.

    Raises
    ------
    LineageError
        If it is neither.
    """
    rows = read_audit_log(connection)
    lost = lost_states(connection, open_home(connection))
    if FIRST_LINE in content:
        return list(_compare_checkpoints(connection, rows, lost, content))
    if content.startswith(COLUMNS[0] + ","):
        return list(_compare_rows(rows, lost, content))
    raise LineageError(
        "copy: neither checkpoints of a log nor what 'dosvotos audit list --csv' writes, so it proves "
        "nothing; name another copy"
    )


def _compare_checkpoints(
    connection: Connection, rows: Sequence[Row[Any]], lost: LostStates, content: str
) -> Iterator[str]:
    home = open_home(connection)
    kept = {one.state.rows: one for one in (home.checkpoints() if home.exists else ())}
    notes, _ = split_notes(content)
    if not notes:
        raise LineageError("copy: holds no whole checkpoint, so it proves nothing; name another copy")
    for note in notes:
        try:
            checkpoint = parse_note(note)
            if home.exists:
                checkpoint.verify(home.server_key)
        except SignatureError as error:
            yield f"copy: {error}"
            continue
        if (checkpoint.state.rows, checkpoint.state.head) in lost:
            continue
        if (found := contradiction(rows, checkpoint, home.folder.name)) is not None:
            yield found
        if (twin := kept.get(checkpoint.state.rows)) is not None and twin.state.head != checkpoint.state.head:
            yield (
                f"checkpoint of {checkpoint.at:%Y-%m-%d %H:%M:%S} UTC: the server has signed two views of a "
                f"log of {checkpoint.state.rows} rows"
            )


def _compare_rows(rows: Sequence[Row[Any]], lost: LostStates, content: str) -> Iterator[str]:
    header, *copied = csv.reader(io.StringIO(content))
    if header != list(COLUMNS):
        raise LineageError(
            f"copy: the columns of 'dosvotos audit list --csv' expected, found {header}; name another copy"
        )
    gone = _gone(copied, lost)
    for number, cells in enumerate(copied, start=1):
        if number in gone:
            continue
        if number > len(rows):
            yield (
                f"row {number}: stands in the copy, and the log has {len(rows)} rows: it was shortened or "
                "rolled back"
            )
            return
        own = [_cell(rows[number - 1]._mapping[name]) for name in COLUMNS]
        if cells != own:
            name, mine, theirs = next(
                (n, a, b) for n, a, b in zip(COLUMNS, own, (*cells, *COLUMNS), strict=False) if a != b
            )
            yield f"row {number}: {name} is {mine[:80]!r} in the log and {theirs[:80]!r} in the copy"


def _gone(copied: Sequence[Sequence[str]], lost: LostStates) -> range:
    """Number the copied rows that a signed RESTORE says are gone: those that lead to a state that is."""
    hashes = [cells[COLUMNS.index("row_hash")] if len(cells) == len(COLUMNS) else "" for cells in copied]
    last = max((n for n, digest in enumerate(hashes, start=1) if (n, digest) in lost), default=0)
    return range(lost[last, hashes[last - 1]], last + 1) if last else range(0)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else str(value)
