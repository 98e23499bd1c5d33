"""The log of decisions: each row carries the hash of the row before it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from json.encoder import encode_basestring
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, func, insert, select

from dosvotos.database.registry import last_log_row
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import AlteredError
from dosvotos.hashing import NO_DIGEST_YET, chain_digest, chain_link, digest_bytes, digest_json
from dosvotos.refusals import Phrase

_HASHED = (
    "action", "model_id", "proposal_id", "reviewer", "notes", "previous_production_model", "new_stage",
    "self_approved", "epoch",
)  # fmt: skip
_HASHED_IF_ANY = ("instrument", "mode", "trained_by", "agreement", "approvals", "quorum", "seal")
"""Columns that older rows do not have, whose hashes stay what they were."""
_SEALED = (
    "subject", "lapses", "text", "text_hash", "signature", "second_reviewer", "second_signature",
    "countersignature",
)  # fmt: skip
"""Columns that `seal` hashes, so that the chain is verified without reading them."""


class StoredRow(NamedTuple):
    """What the chain of hashes covers of a row, as the database's driver gives it.

    Which columns are NULL is the action's to say.
    """

    id: int
    previous_hash: str | None
    row_hash: str
    stored_at: str | datetime
    """When it was decided: SQLite's text in UTC, PostgreSQL's instant in some zone."""
    self_approved: bool | int
    action: str
    epoch: int
    model_id: Any
    new_stage: Any
    notes: Any
    previous_production_model: Any
    proposal_id: Any
    reviewer: str
    instrument: Any
    mode: Any
    trained_by: Any
    agreement: Any
    approvals: Any
    quorum: Any
    seal: Any


_FIRST_NULL: Final = StoredRow._fields.index("action")
"""From here on columns may be NULL."""


class LogRow(StoredRow):
    """The same, read by whoever needs its time."""

    __slots__ = ()

    @property
    def created_at(self) -> datetime:
        """When it was decided, UTC; raises AlteredError if that is no time."""
        try:
            return datetime.fromisoformat(_written_time(self.stored_at))
        except ValueError as error:
            raise AlteredError.of("audit_no_time", row=self.id, found=repr(self.stored_at)) from error


def append_audit_row(connection: Connection, entry: dict[str, Any], now: datetime) -> int:
    """Append one decision inside the caller's transaction.

    Parameters
    ----------
    connection : Connection
        In a transaction that holds the instrument's head row.
    entry : dict
        Values of the columns but id, the hashes and created_at; what is left out is NULL.
    now : datetime, timezone-aware

    Returns
    -------
    int
        The row's sequence.
    """
    last = last_log_row(connection)
    sequence, previous = (last.id + 1, last.row_hash) if last else (1, None)
    connection.execute(insert(approval_audit_log).values(chained_row(previous, sequence, entry, now)))
    return int(sequence)


def chained_row(
    previous: str | None, sequence: int, entry: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Make a whole row of the log: the entry, its seal, and the hash over both and the row before it."""
    row = {**dict.fromkeys((*_HASHED, *_HASHED_IF_ANY, *_SEALED)), **entry}
    row["seal"] = seal_of(row)
    digest = chain_digest(previous, sequence, _content(row, now))
    return {**row, "id": sequence, "created_at": now, "previous_hash": previous, "row_hash": digest}


def read_audit_log(connection: Connection) -> list[Row[Any]]:
    """Read all rows in their sequence."""
    query = select(approval_audit_log).order_by(approval_audit_log.c.id)
    return list(connection.execute(query).all())


def read_chain(connection: Connection) -> list[LogRow]:
    """Read what the chain of hashes covers of all rows, in their sequence: all but the sealed columns.

    The driver's own tuples are taken, which is several times as fast as SQLAlchemy's rows.
    """
    t = approval_audit_log
    columns = [t.c["created_at" if name == "stored_at" else name] for name in LogRow._fields]
    query = select(*columns).order_by(t.c.id).compile(dialect=connection.dialect)
    cursor = connection.connection.cursor()
    cursor.execute(str(query))
    return [_make(LogRow, values) for values in cursor.fetchall()]


def count_rows(connection: Connection) -> int:
    """Count the decisions."""
    return int(connection.execute(select(func.count()).select_from(approval_audit_log)).scalar_one())


def seal_of(entry: Mapping[str, Any]) -> str | None:
    """Hash a row's text, signatures, subject and lapses; None for a row that has none of them."""
    sealed = sealed_in(entry)
    return digest_json(sealed) if sealed else None


def sealed_in(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a row's seal hashes."""
    return {name: entry[name] for name in _SEALED if entry[name] is not None}


def find_breaks(rows: Sequence[LogRow]) -> list[Phrase]:
    """Name the rows at which the chain does not hold; empty for an intact log.

    What a row's seal covers is compared by `broken_seals`.
    """
    breaks: list[Phrase] = []
    previous, write = None, _Writer()
    for sequence, row in enumerate(rows, start=1):
        if row.id != sequence:
            breaks.append(Phrase.of("audit_missing", row=sequence, next=row.id))
            break
        if row.previous_hash != previous:
            breaks.append(Phrase.of("audit_unchained", row=sequence))
        elif row.row_hash != digest_bytes(write(row).encode()):
            breaks.append(Phrase.of("audit_changed", row=sequence))
        previous = row.row_hash
    return breaks


_make: Final[Callable[[type[LogRow], tuple[Any, ...]], LogRow]] = tuple.__new__
"""What `LogRow._make` does, without a Python call for each row."""


class _Writer:
    """Writes rows as the canonical JSON that is hashed of them, in a fraction of the time an encoder takes.

    The form depends on which columns are NULL alone: few forms write a whole log.
    """

    def __init__(self) -> None:
        self._forms: dict[tuple[bool, ...], _Form] = {}

    def __call__(self, row: LogRow) -> str:
        """Write one row."""
        nulls = tuple([value is None for value in row[_FIRST_NULL:]])
        if (form := self._forms.get(nulls)) is None:
            form = self._forms[nulls] = _form(nulls)
        values = [encode_basestring(v) if type(v) is str else v for v in form.values_of(row)]
        values[form.time_at] = _written_time(row.stored_at)
        values[form.approved_at] = "true" if row.self_approved else "false"
        return form.template % (*values, row.previous_hash or NO_DIGEST_YET, row.id)


class _Form(NamedTuple):
    """How rows are written that are NULL in the same columns."""

    template: str
    values_of: Callable[[LogRow], tuple[Any, ...]]
    """Gives the template's values of a row, all but the last two."""
    time_at: int
    """Which of them is the time."""
    approved_at: int


def _form(nulls: Sequence[bool]) -> _Form:
    """Make the template of `chain_link`'s canonical JSON."""
    fields, names = [], []
    for name in sorted((*_HASHED, *_HASHED_IF_ANY, "created_at")):
        column = "stored_at" if name == "created_at" else name
        index = LogRow._fields.index(column)
        if index < _FIRST_NULL or not nulls[index - _FIRST_NULL]:
            fields.append('"created_at":"%s"' if name == "created_at" else f'"{name}":%s')
            names.append(column)
        elif name in _HASHED:
            fields.append(f'"{name}":null')
    link = f'{{"content":{{{",".join(fields)}}},"previous":"%s","sequence":%d,"version":1}}'
    pick = itemgetter(*map(LogRow._fields.index, names))
    return _Form(link, pick, names.index("stored_at"), names.index("self_approved"))


def _written_time(stored: object) -> str:
    """Write an instant as it is hashed: in UTC, with microseconds where it has some."""
    if isinstance(stored, datetime):
        return stored.astimezone(UTC).isoformat()
    if not isinstance(stored, str):  # which only a file with other constraints than ours can hold
        return str(stored)
    fraction = "" if stored[19:] == ".000000" else stored[19:]
    return f"{stored[:10]}T{stored[11:19]}{fraction}+00:00"


def broken_seals(rows: list[Row[Any]]) -> list[Phrase]:
    """Name the whole rows whose text, signatures, subject or lapses are not what was sealed."""
    return [Phrase.of("audit_seal", row=row.id) for row in rows if not _is_sealed(row)]


def _is_sealed(row: Row[Any]) -> bool:
    try:
        return bool(seal_of(_entry(row)) == row.seal)
    except TypeError:  # bytes, as only an edited file holds
        return False


def link_of(row: Row[Any]) -> dict[str, Any]:
    """Give what is hashed of a stored row, the hash of the row before it included."""
    return chain_link(row.previous_hash, row.id, _content(_entry(row), row.created_at))


def _entry(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


def _content(entry: Any, now: datetime) -> dict[str, Any]:
    newer = {name: entry[name] for name in _HASHED_IF_ANY if entry[name] is not None}
    return {**{name: entry[name] for name in _HASHED}, **newer, "created_at": now.isoformat()}
