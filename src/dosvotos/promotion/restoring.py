"""RESTORE: the one way back from a backup, an admin's signed act that says what is missing.

A database shorter than its last checkpoint gives no signal and takes no vote, since a backup put back and an
attack look alike. This act names the checkpoint and the rows that are gone, raises every epoch past it, lets
what was open then wait for its vote again, and puts production into staging until it is voted on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select, update

from dosvotos.audit.checkpoints import contradictions, difference, is_restored, open_home, states_up_to
from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.log import find_breaks, read_chain
from dosvotos.audit.people import Signatory, ended_keys, people_missing
from dosvotos.audit.restored_log import LostCheckpoint, RestoredLog, digest_states
from dosvotos.audit.signatures import read_trust
from dosvotos.database.registry import (
    OPEN_STATES,
    VALID_FOR,
    change_one,
    get_model,
    list_proposals,
    lock_instrument,
    opened_at,
    production_rows,
)
from dosvotos.database.tables import HOUSE, instruments, model_registry, promotion_proposals
from dosvotos.errors import DecisionConflictError, LineageError, NotAllowedError
from dosvotos.promotion.champions import announce_production
from dosvotos.promotion.house_acts import HouseAct
from dosvotos.promotion.transaction import Entry, Subject
from dosvotos.promotion.vote_rules import closing_vote, columns_after, earlier_votes
from dosvotos.signing.checkpoint import Checkpoint
from dosvotos.signing.home import Home


@dataclass(frozen=True)
class Restore(HouseAct):
    """A backup that takes the place of a database that was lost."""

    backup: str
    """SHA-256 of its file."""
    action: Literal["RESTORE"] = "RESTORE"

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return {"backup": self.backup}

    def check_log(self, connection: Connection, home: Home) -> None:
        """Refuse a log that lacks nothing, or that is no former state of the one that was lost."""
        lost_checkpoint(connection, home)

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse what `check_log` refuses, and an admin who was revoked since the backup was made."""
        home = open_home(connection)
        lost_checkpoint(connection, home)
        if who.name in _revoked_since(connection, home):
            raise NotAllowedError(
                f"{who.name}: was revoked after this backup was made; another admin restores"
            )

    def subject(self, connection: Connection) -> Subject:
        """Say which checkpoint and rows are gone, and what follows."""
        home = open_home(connection)
        lost, rows = lost_checkpoint(connection, home), read_chain(connection)
        heads = {row.instrument: row.epoch for row in connection.execute(select(instruments))}
        names = {*heads, *lost.state.epochs, HOUSE}
        served = [production_rows(connection, name).model for name in sorted(names)]
        serving = [model for model in served if model is not None]
        restored = RestoredLog(
            backup=self.backup,
            checkpoint=LostCheckpoint.of(lost),
            kept_rows=len(rows),
            kept_head=rows[-1].row_hash if rows else None,
            epochs={n: max(heads.get(n, 0), lost.state.epochs.get(n, 0)) + 1 for n in sorted(names)},
            staged=tuple(model.model_id for model in serving),
            reopened=tuple(_reopened(connection, lost, serving)),
            revoked=tuple(_revoked_since(connection, home)),
            unknown=tuple(people_missing(home.allowed_signers, read_trust(connection, home))),
            lost=digest_states(states_up_to(home, lost, len(rows))),
        )
        return Subject(other=restored.model_dump(mode="json"))

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Raise the epochs, put production into staging, and let proposals wait again."""
        restored = RestoredLog.model_validate(self.subject(connection).other, strict=False)
        for name, raised in restored.epochs.items():
            if name == HOUSE:  # the transaction raises the head row it is about
                continue
            lock_instrument(connection, name)
            head = update(instruments).where(instruments.c.instrument == name)
            change_one(connection, head.values(epoch=raised, production_model_id=None))
        for model_id in restored.staged:
            staged = update(model_registry).where(model_registry.c.model_id == model_id)
            change_one(connection, staged.values(stage="staging"))
            announce_production(connection, get_model(connection, model_id).instrument, None, now)
        p = promotion_proposals
        for proposal_id in restored.reopened:
            waiting = columns_after(None, reopened_at=now)
            change_one(connection, update(p).where(p.c.id == proposal_id).values(waiting))
        return Entry(restored.epochs[HOUSE])


def lost_checkpoint(connection: Connection, home: Home) -> Checkpoint:
    """Find the checkpoint that a log no longer holds.

    Raises
    ------
    DecisionConflictError
        If nothing is missing.
    LineageError
        If the log is not a former state of the one that was lost.
    """
    home.require()
    last = home.last_checkpoint()
    if last is None or difference(connection, last) is None or is_restored(connection, home, last):
        raise DecisionConflictError(
            "RESTORE: the log holds all that its last checkpoint says; nothing is missing, so nothing is "
            "restored; go on as before"
        )
    rows = read_chain(connection)
    found = [*find_breaks(rows), *contradictions(connection, rows, home, len(rows))]
    if found or last.state.rows <= len(rows):
        what = found[0] if found else f"its row {last.state.rows} is not the one of the last checkpoint"
        raise LineageError(
            f"approval_audit_log: the backup is no former state of the log that was lost: {what}. Restore "
            "from another backup"
        )
    return last


def _revoked_since(connection: Connection, home: Home) -> list[str]:
    ended = ended_keys(home.allowed_signers)
    active = read_trust(connection, home).active
    return sorted({person.name for person in active if (person.name, person.key.line) in ended})


def _reopened(connection: Connection, lost: Checkpoint, serving: Iterable[Row[Any]]) -> list[int]:
    """List the proposals that wait again: open at the loss by what the backup knows, and production's own."""
    newest: dict[tuple[str, str], int] = {}
    serving_ids = {model.model_id for model in serving}
    found = []
    for row in list_proposals(connection):
        if newest.setdefault((row.experiment_name, row.instrument), row.id) != row.id:
            continue
        was_open = row.status in (*OPEN_STATES, "EXPIRED") and opened_at(row) >= lost.at - VALID_FOR
        serves = row.status == "APPROVED" and row.model_id in serving_ids
        if serves or (was_open and not _is_closed(connection, row)):
            found.append(row.id)
    return sorted(found)


def _is_closed(connection: Connection, proposal: Row[Any]) -> bool:
    model = get_model(connection, proposal.model_id)
    votes = earlier_votes(connection, model.manifest_hash, model.model_hash, proposal.instrument)
    return closing_vote(votes) is not None


def describe(restored: RestoredLog) -> list[str]:
    """Tell people what a RESTORE did, a line each."""
    lost, kept = restored.checkpoint, restored.kept_rows
    lines = [
        f"rows {kept + 1} to {lost.rows} of the log are gone: the checkpoint of {lost.at} had {lost.rows}, "
        f"the backup has {kept}"
    ]
    lines += [f"{model_id} waits in staging: vote again" for model_id in restored.staged]
    lines += [f"proposal {proposal_id} waits for its vote, for 30 days" for proposal_id in restored.reopened]
    lines += [f"{name} was revoked after the backup, and is again" for name in restored.revoked]
    lines += [f"{name} was added after the backup: add them again" for name in restored.unknown]
    return lines
