"""The log of decisions: each row carries the hash of the row before it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from dosvotos.database.tables import approval_audit_log
from dosvotos.hashing import chain_digest

_HASHED = (
    "action", "model_id", "proposal_id", "reviewer", "notes", "previous_production_model", "new_stage",
    "self_approved", "epoch",
)  # fmt: skip
_HASHED_IF_ANY = (
    "instrument", "mode", "trained_by", "agreement", "approvals", "quorum", "subject", "lapses", "text",
    "text_hash", "signature", "second_reviewer", "second_signature", "countersignature",
)  # fmt: skip
"""Columns that older rows do not have, whose hashes stay what they were."""


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
    t = approval_audit_log
    last = connection.execute(select(t.c.id, t.c.row_hash).order_by(t.c.id.desc()).limit(1)).one_or_none()
    sequence, previous = (last.id + 1, last.row_hash) if last else (1, None)
    entry = {**dict.fromkeys((*_HASHED, *_HASHED_IF_ANY)), **entry}
    digest = chain_digest(previous, sequence, _content(entry, now))
    row = {**entry, "id": sequence, "created_at": now, "previous_hash": previous, "row_hash": digest}
    connection.execute(insert(t).values(row))
    return int(sequence)


def read_audit_log(connection: Connection) -> list[Row[Any]]:
    """Read all rows in their sequence."""
    query = select(approval_audit_log).order_by(approval_audit_log.c.id)
    return list(connection.execute(query).all())


def find_breaks(rows: list[Row[Any]]) -> list[str]:
    """Name the rows at which the chain does not hold; empty for an intact log."""
    breaks, previous = [], None
    for sequence, row in enumerate(rows, start=1):
        digest = chain_digest(previous, sequence, _content(row._mapping, row.created_at))
        if row.id != sequence:
            breaks.append(f"row {sequence} is missing: the next one stored is {row.id}")
            break
        if row.previous_hash != previous:
            breaks.append(f"row {sequence}: does not follow the row before it")
        elif row.row_hash != digest:
            breaks.append(f"row {sequence}: its content was changed")
        previous = row.row_hash
    return breaks


def _content(entry: Any, now: datetime) -> dict[str, Any]:
    newer = {name: entry[name] for name in _HASHED_IF_ANY if entry[name] is not None}
    return {**{name: entry[name] for name in _HASHED}, **newer, "created_at": now.isoformat()}
