"""Rules of the second vote that need no model and no file: its reason, and what earlier votes leave open."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Connection, Row, or_, select

from dosvotos.audit.log import LogRow
from dosvotos.contracts.records import Record
from dosvotos.database.tables import approval_audit_log, model_registry, promotion_proposals
from dosvotos.errors import DecisionError
from dosvotos.plain_text import hidden_character
from dosvotos.promotion.reasons import Reason

MIN_REASON: Final = 20
MAX_REASON: Final = 4_000

Decision = Literal["APPROVE", "REJECT", "REQUEST_MORE_TESTS"]


STATUS_AFTER: Final[dict[str, str]] = {
    "APPROVE": "APPROVED",
    "REJECT": "REJECTED",
    "REQUEST_MORE_TESTS": "MORE_TESTS_REQUESTED",
    "REOPEN": "PENDING_APPROVAL",
}
"""A proposal's status by its last vote, if an approval is not one of several that are needed."""


REOPENING: Final = ("REOPEN", "RESTORE")
"""Decisions after which a proposal waits for its vote again."""


class ModelStage(NamedTuple):
    """A model's stage, and when it was last promoted and archived."""

    stage: str = "staging"
    promoted_at: datetime | None = None
    archived_at: datetime | None = None

    def after(self, vote: Row[Any] | LogRow, model_id: str) -> "ModelStage":
        """Follow what brings the model to a stage, or another one into its place in production."""
        if vote.model_id != model_id:
            return self._replace(stage="archived", archived_at=vote.created_at)
        promoted_at = vote.created_at if vote.new_stage == "production" else self.promoted_at
        return self._replace(stage=vote.new_stage, promoted_at=promoted_at)

    def restored(self) -> "ModelStage":
        """Follow a RESTORE: what served waits in staging until it is voted on again."""
        return self._replace(stage="staging") if self.stage == "production" else self


class EarlierVote(Record):
    """One vote on a model, on this proposal or on another one of it, whatever it was called then."""

    id: int
    proposal_id: int
    experiment_name: str
    model_id: str
    action: str
    reviewer: str
    notes: str | None
    new_stage: str
    self_approved: bool
    created_at: datetime


def status_after(vote: Row[Any] | LogRow) -> str:
    """Give a proposal's status by its last vote; an approval that needs another one leaves it open."""
    return "PENDING_APPROVAL" if is_partial(vote) else STATUS_AFTER[vote.action]


def is_partial(vote: Row[Any] | LogRow) -> bool:
    """Tell whether an approval still needs another person's."""
    return bool(vote.action == "APPROVE" and vote.approvals is not None and vote.approvals < vote.quorum)


def closes(vote: Row[Any] | LogRow) -> bool:
    """Tell whether a vote closes its proposal."""
    return vote.action in ("APPROVE", "REJECT") and not is_partial(vote)


def columns_after(vote: Row[Any] | LogRow | None, reopened_at: datetime | None = None) -> dict[str, Any]:
    """Give the columns of a proposal that follow from its last row of the audit log, or from none.

    Parameters
    ----------
    vote : row of approval_audit_log, optional
    reopened_at : datetime, optional
        When the proposal was last reopened, if it was.

    Notes
    -----
    A RESTORE that reopened the proposal counts as its last row.
    """
    columns: dict[str, Any] = {
        "status": "PENDING_APPROVAL",
        "reviewer": None,
        "reviewer_notes": None,
        "approved_at": None,
        "reopened_at": reopened_at,
    }
    if vote is None or vote.action in REOPENING or is_partial(vote):
        return columns
    return columns | {
        "status": status_after(vote),
        "reviewer": vote.reviewer,
        "reviewer_notes": vote.notes,
        "approved_at": vote.created_at if vote.action == "APPROVE" else None,
    }


def last_decision(connection: Connection, proposal_id: int) -> Row[Any] | None:
    """Find the newest row of the log about a proposal: a vote, or a RESTORE that reopened it."""
    t = approval_audit_log
    query = select(t).where(t.c.proposal_id == proposal_id).order_by(t.c.id.desc()).limit(1)
    last, restore = connection.execute(query).one_or_none(), _reopening_restore(connection, proposal_id)
    return restore if last is None or (restore is not None and restore.id > last.id) else last


def reopened_at(connection: Connection, proposal_id: int) -> datetime | None:
    """Read when a proposal was last reopened, or None."""
    t = approval_audit_log
    query = select(t.c.created_at).where(t.c.proposal_id == proposal_id, t.c.action == "REOPEN")
    reopened = connection.execute(query.order_by(t.c.id.desc()).limit(1)).scalar_one_or_none()
    restore = _reopening_restore(connection, proposal_id)
    moments = [moment for moment in (reopened, restore and restore.created_at) if moment is not None]
    return max(moments, default=None)


def _reopening_restore(connection: Connection, proposal_id: int) -> Row[Any] | None:
    t = approval_audit_log
    rows = connection.execute(select(t).where(t.c.action == "RESTORE").order_by(t.c.id.desc()))
    return next((row for row in rows if proposal_id in row.subject["reopened"]), None)


def needs_reason(decision: str) -> bool:
    """Tell whether a decision is void without a reason; a request changes nothing and needs none."""
    return decision != "REQUEST_MORE_TESTS"


def check_reason(decision: str, reason: str) -> None:
    """Refuse a vote whose reason is missing, too long or not plain text.

    Raises
    ------
    DecisionError
        Naming the rule and what was found.
    """
    if len(reason) > MAX_REASON:
        raise DecisionError.of("reason_long", maximum=MAX_REASON, found=len(reason))
    if hidden := hidden_character(reason, one_line=False):
        raise DecisionError.of("reason_hidden", found=hidden)
    found = len(reason.strip())
    if needs_reason(decision) and found < MIN_REASON:
        raise DecisionError.of("reason_short", action=decision, minimum=MIN_REASON, found=found)


def earlier_votes(
    connection: Connection, manifest_hash: str, model_hash: str, instrument: str
) -> tuple[EarlierVote, ...]:
    """Read every vote on a model on one instrument, oldest first, by whatever name it was proposed.

    The same weights under another contract have another manifest: either hash makes it the same model.
    """
    log, models, proposals = approval_audit_log, model_registry, promotion_proposals
    same = or_(models.c.manifest_hash == manifest_hash, models.c.model_hash == model_hash)
    columns = (
        proposals.c.experiment_name if name == "experiment_name" else log.c[name]
        for name in EarlierVote.model_fields
    )
    query = (
        select(*columns)
        .join(proposals, proposals.c.id == log.c.proposal_id)
        .join(models, models.c.model_id == log.c.model_id)
        .where(same, proposals.c.instrument == instrument)
        .order_by(log.c.id)
    )
    return tuple(EarlierVote.model_validate(dict(row._mapping)) for row in connection.execute(query))


def closing_vote(votes: Iterable[EarlierVote]) -> EarlierVote | None:
    """Find the person's REJECT that keeps a model closed: the last one that no REOPEN follows."""
    closing = None
    for vote in votes:
        if vote.action in ("REJECT", "REOPEN"):
            closing = vote if vote.action == "REJECT" else None
    return closing


def rejected_before(vote: EarlierVote) -> Reason:
    """Say that a person has rejected the model: on which proposal, when, and who."""
    figures = {"proposal": vote.proposal_id, "date": f"{vote.created_at:%Y-%m-%d}", "reviewer": vote.reviewer}
    return Reason(code="rejected_before", figures=figures)
