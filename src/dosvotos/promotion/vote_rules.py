"""Rules of the second vote that need no model and no file: its reason, and what earlier votes leave open."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection, or_, select

from dosvotos.database.tables import approval_audit_log, model_registry, promotion_proposals
from dosvotos.errors import DecisionError
from dosvotos.plain_text import hidden_character
from dosvotos.promotion.reasons import Reason

MIN_REASON: Final = 20
MAX_REASON: Final = 4_000

Decision = Literal["APPROVE", "REJECT", "REQUEST_MORE_TESTS"]


class EarlierVote(NamedTuple):
    """One row of the audit log about a model, whatever it was called then."""

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
        raise DecisionError(f"notes: at most {MAX_REASON} characters, were {len(reason)}")
    if hidden := hidden_character(reason, one_line=False):
        raise DecisionError(f"notes: plain text only, found {hidden}")
    found = len(reason.strip())
    if needs_reason(decision) and found < MIN_REASON:
        raise DecisionError(
            f"notes: {decision} needs a reason of at least {MIN_REASON} characters, had {found}; say what "
            "decided"
        )


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
        for name in EarlierVote._fields
    )
    query = (
        select(*columns)
        .join(proposals, proposals.c.id == log.c.proposal_id)
        .join(models, models.c.model_id == log.c.model_id)
        .where(same, proposals.c.instrument == instrument)
        .order_by(log.c.id)
    )
    return tuple(EarlierVote(*row) for row in connection.execute(query))


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
