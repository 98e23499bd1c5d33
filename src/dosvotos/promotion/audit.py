"""The log of decisions: each row carries the hash of the row before it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from json.encoder import encode_basestring
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select

from dosvotos.database.registry import last_log_row
from dosvotos.database.tables import approval_audit_log
from dosvotos.hashing import chain_digest, chain_digest_of, chain_link, digest_json
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
    entry = {**dict.fromkeys((*_HASHED, *_HASHED_IF_ANY, *_SEALED)), **entry}
    entry["seal"] = seal_of(entry)
    digest = chain_digest(previous, sequence, _content(entry, now))
    row = {**entry, "id": sequence, "created_at": now, "previous_hash": previous, "row_hash": digest}
    connection.execute(insert(approval_audit_log).values(row))
    return int(sequence)


def read_audit_log(connection: Connection) -> list[Row[Any]]:
    """Read all rows in their sequence."""
    query = select(approval_audit_log).order_by(approval_audit_log.c.id)
    return list(connection.execute(query).all())


def read_chain(connection: Connection) -> list[Row[Any]]:
    """Read what the chain of hashes covers of all rows, in their sequence: all but the sealed columns."""
    t = approval_audit_log
    columns = [column for column in t.columns if column.name not in _SEALED]
    return list(connection.execute(select(*columns).order_by(t.c.id)).all())


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


def find_breaks(rows: list[Row[Any]]) -> list[Phrase]:
    """Name the rows at which the chain does not hold; empty for an intact log.

    What a row's seal covers is compared by `broken_seals`.
    """
    breaks: list[Phrase] = []
    previous = None
    fields = _hashed_fields(rows[0]._fields) if rows else ()
    for sequence, row in enumerate(rows, start=1):
        digest = chain_digest_of(previous, sequence, _written(tuple(row), fields))
        if row.id != sequence:
            breaks.append(Phrase.of("audit_missing", row=sequence, next=row.id))
            break
        if row.previous_hash != previous:
            breaks.append(Phrase.of("audit_unchained", row=sequence))
        elif row.row_hash != digest:
            breaks.append(Phrase.of("audit_changed", row=sequence))
        previous = row.row_hash
    return breaks


def _hashed_fields(columns: Sequence[str]) -> tuple[tuple[str, int, bool], ...]:
    """List what is hashed of a row as canonical JSON orders it: beginning, column, whether NULL counts."""
    names = sorted((*_HASHED, *_HASHED_IF_ANY, "created_at"))
    return tuple((f'"{name}":', columns.index(name), name not in _HASHED_IF_ANY) for name in names)


def _written(values: tuple[Any, ...], fields: Sequence[tuple[str, int, bool]]) -> str:
    """Write a row's content as canonical JSON, in a third of the time a dictionary and its encoder take."""
    parts = []
    for start, index, always in fields:
        value = values[index]
        if value is not None:
            parts.append(start + _WRITERS[type(value)](value))
        elif always:
            parts.append(start + "null")
    return f"{{{','.join(parts)}}}"


_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    str: encode_basestring,
    int: str,
    bool: lambda value: "true" if value else "false",
    datetime: lambda value: f'"{value.isoformat()}"',
}


def broken_seals(rows: list[Row[Any]]) -> list[Phrase]:
    """Name the whole rows whose text, signatures, subject or lapses are not what was sealed."""
    return [Phrase.of("audit_seal", row=row.id) for row in rows if seal_of(_entry(row)) != row.seal]


def link_of(row: Row[Any]) -> dict[str, Any]:
    """Give what is hashed of a stored row, the hash of the row before it included."""
    return chain_link(row.previous_hash, row.id, _content(_entry(row), row.created_at))


def _entry(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)


def _content(entry: Any, now: datetime) -> dict[str, Any]:
    newer = {name: entry[name] for name in _HASHED_IF_ANY if entry[name] is not None}
    return {**{name: entry[name] for name in _HASHED}, **newer, "created_at": now.isoformat()}
