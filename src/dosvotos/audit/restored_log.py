"""What a RESTORE says: which checkpoint the log no longer holds, and what follows from that."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, select

from dosvotos.contracts.records import Record
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import AlteredError
from dosvotos.hashing import canonical_json, digest_json
from dosvotos.signing.checkpoint import STAMP, Checkpoint


class LostCheckpoint(Record):
    """A state of the log that a backup does not hold."""

    rows: int
    head: str
    """Hash of its last row."""
    at: str
    """When it was signed; UTC, as the checkpoint writes it."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "LostCheckpoint":
        """Name a checkpoint."""
        return cls(
            rows=checkpoint.state.rows, head=str(checkpoint.state.head), at=checkpoint.at.strftime(STAMP)
        )


class RestoredLog(Record):
    """The subject of RESTORE."""

    backup: str
    """SHA-256 of the backup's file."""
    checkpoint: LostCheckpoint
    """The last one before the loss."""
    kept_rows: int
    """Rows of the log that the backup has; those after them up to the checkpoint's are gone."""
    kept_head: str | None
    epochs: dict[str, int]
    """Of every head row from here on, each above the checkpoint's."""
    staged: tuple[str, ...]
    """Production models that wait in staging for a new vote."""
    reopened: tuple[int, ...]
    """Proposals that wait for their vote again."""
    revoked: tuple[str, ...]
    """People whose revocation the backup does not know: they are revoked again."""
    unknown: tuple[str, ...]
    """People who were added after the backup was made, and have to be added again."""
    lost: str | None = None
    """Hash of all states that checkpoints saw after the kept rows; None in an older RESTORE."""

    def names(self, last: Checkpoint, gone: Sequence[tuple[int, str | None]]) -> bool:
        """Tell whether this is the RESTORE of a loss: its last checkpoint, and all states that are gone."""
        return self.checkpoint == LostCheckpoint.of(last) and self.lost in (None, digest_states(gone))


def digest_states(states: Sequence[tuple[int, str | None]]) -> str:
    """Hash states of the log, in the order of their checkpoints."""
    return digest_json([list(state) for state in states])


def list_restores(connection: Connection) -> list[Row[Any]]:
    """Read every RESTORE of the log, oldest first; their signatures are verified elsewhere."""
    t = approval_audit_log
    return list(connection.execute(select(t).where(t.c.action == "RESTORE").order_by(t.c.id)))


def restored_log(row: Row[Any]) -> RestoredLog:
    """Read the subject of a RESTORE; raises LineageError if it is none."""
    try:
        return RestoredLog.model_validate_json(canonical_json(row.subject))
    except ValidationError as error:
        raise AlteredError.of("log_impossible", row=row.id, action="RESTORE", problem=error) from error
