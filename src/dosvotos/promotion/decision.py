"""The second vote: one transaction that promotes, archives and writes the audit row, or changes nothing."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Engine, Row, update

from dosvotos.backtest.metrics import SpecifiedMetrics
from dosvotos.database.connection import writing
from dosvotos.database.registry import (
    OPEN_STATES,
    expire_proposals,
    get_model,
    get_proposal,
    is_open,
    lock_instrument,
    production_model,
)
from dosvotos.database.tables import instruments, model_registry, promotion_proposals
from dosvotos.errors import DecisionConflictError, DecisionError
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.audit import append_audit_row
from dosvotos.promotion.criteria import CriterionResult, criterion_text, failure_reasons
from dosvotos.promotion.proposal import CONFIDENCE
from dosvotos.promotion.reasons import explanation
from dosvotos.promotion.report_files import check_reports
from dosvotos.promotion.retracted import refuse_retracted_data
from dosvotos.users import same_person

MIN_REVIEW_NOTES = 20
MAX_NOTES = 4_000

Decision = Literal["APPROVE", "REJECT", "REQUEST_MORE_TESTS"]
_STATUSES: dict[Decision, str] = {
    "APPROVE": "APPROVED",
    "REJECT": "REJECTED",
    "REQUEST_MORE_TESTS": "MORE_TESTS_REQUESTED",
}


class Vote(NamedTuple):
    """What a person decides about a proposal."""

    decision: Decision
    reviewer: str
    """The authenticated person."""
    notes: str = ""
    promote_to_production: bool = True
    """False approves to shadow: the model runs beside production and its signals go nowhere."""
    single_user: bool = False
    """Whether a person may approve a model they trained; the approval is then marked."""


class DecisionResult(NamedTuple):
    """What a vote did."""

    model_id: str
    new_stage: str
    status: str


def decide(engine: Engine, proposal_id: int, vote: Vote, now: datetime) -> DecisionResult:
    """Carry out a person's vote.

    Raises
    ------
    DecisionError
        If the vote breaks a rule: unknown proposal, vetoed by L4, notes missing, own model.
    DecisionConflictError
        If the proposal was decided, superseded or expired, or production has changed since L4.
    BundleError, LineageError
        If the model's or the proposal's files are not those L4 wrote.
    """
    if len(vote.notes) > MAX_NOTES:
        raise DecisionError(f"notes: at most {MAX_NOTES} characters, were {len(vote.notes)}")
    if "\x00" in vote.notes:
        raise DecisionError("notes: plain text only, found a NUL character")
    with writing(engine) as connection:
        expire_proposals(connection, now)
    with writing(engine) as connection:
        return _carry_out(connection, proposal_id, vote, now)


def veto(engine: Engine, proposal_id: int, lineage: CriterionResult) -> None:
    """Make an open proposal a REJECT, its lineage having failed."""
    t = promotion_proposals
    with writing(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
        reasons = failure_reasons([lineage])
        others = [result for result in proposal.criteria or () if result["name"] != lineage.name]
        values = {
            "recommendation": "REJECT",
            "confidence": CONFIDENCE["REJECT"],
            "reason": explanation("REJECT", SpecifiedMetrics.model_validate(proposal.metrics), reasons),
            "reasons": [reason.model_dump(mode="json") for reason in reasons],
            "criteria_results": {**proposal.criteria_results, lineage.name: criterion_text(lineage)},
            "criteria": [*others, lineage.model_dump(mode="json")] if proposal.criteria else None,
        }
        still_open = (t.c.id == proposal_id) & t.c.status.in_(OPEN_STATES)
        connection.execute(update(t).where(still_open).values(values))


def _carry_out(connection: Connection, proposal_id: int, vote: Vote, now: datetime) -> DecisionResult:
    head = lock_instrument(connection, get_proposal(connection, proposal_id).instrument)
    proposal = get_proposal(connection, proposal_id)
    model = get_model(connection, proposal.model_id)
    production = production_model(connection, proposal.instrument)
    production_id = production.model_id if production else None
    stage, epoch, approves = model.stage, head.epoch, vote.decision == "APPROVE"
    _check_open(proposal, now)
    if approves:
        _check_may_approve(proposal, model, production_id, vote)
        refuse_retracted_data(connection, proposal)
        stage = "production" if vote.promote_to_production else "shadow"
        epoch += stage == "production"
        _set_stage(connection, proposal, stage, epoch, now)
    _close(connection, proposal, vote, now)
    entry = {
        "action": vote.decision,
        "model_id": proposal.model_id,
        "proposal_id": proposal.id,
        "reviewer": vote.reviewer,
        "notes": vote.notes,
        "previous_production_model": production_id,
        "new_stage": stage,
        "self_approved": approves and same_person(vote.reviewer, model.trained_by),
        "epoch": epoch,
    }
    append_audit_row(connection, entry, now)
    return DecisionResult(model.model_id, stage, _STATUSES[vote.decision])


def _check_open(proposal: Row[Any], now: datetime) -> None:
    if not is_open(proposal, now):
        raise DecisionConflictError(
            f"proposal {proposal.id} of {proposal.created_at:%Y-%m-%d} is {proposal.status}: it can no "
            "longer be voted on"
        )


def _check_may_approve(proposal: Row[Any], model: Row[Any], production_id: str | None, vote: Vote) -> None:
    if proposal.recommendation == "REJECT":
        raise DecisionError(
            f"proposal {proposal.id}: L4 recommends REJECT, which is a veto: {proposal.reason}"
        )
    if proposal.recommendation == "REVIEW" and len(vote.notes.strip()) < MIN_REVIEW_NOTES:
        raise DecisionError(
            f"proposal {proposal.id}: approving a REVIEW needs notes of at least {MIN_REVIEW_NOTES} "
            f"characters, had {len(vote.notes.strip())}"
        )
    if same_person(vote.reviewer, model.trained_by) and not vote.single_user:
        raise DecisionError(f"{vote.reviewer} trained {model.model_id} and may not approve it")
    if proposal.lineage["baseline_model_id"] != production_id:
        raise DecisionConflictError(
            f"proposal {proposal.id} was compared with {proposal.lineage['baseline_model_id']}, but "
            f"production is now {production_id}; run the backtest and promotion pipelines again"
        )
    open_bundle(Path(model.model_path), model.manifest_hash)
    check_reports(proposal)


def _set_stage(connection: Connection, proposal: Row[Any], stage: str, epoch: int, now: datetime) -> None:
    """Give the proposal's model its stage; a new production model replaces the instrument's."""
    t, chosen = model_registry, model_registry.c.model_id == proposal.model_id
    if stage != "production":
        connection.execute(update(t).where(chosen).values(stage=stage))
        return
    old = (t.c.instrument == proposal.instrument) & (t.c.stage == "production")
    connection.execute(update(t).where(old).values(stage="archived", archived_at=now))
    connection.execute(update(t).where(chosen).values(stage="production", promoted_at=now))
    head = update(instruments).where(instruments.c.instrument == proposal.instrument)
    connection.execute(head.values(epoch=epoch, production_model_id=proposal.model_id))


def _close(connection: Connection, proposal: Row[Any], vote: Vote, now: datetime) -> None:
    values = {
        "status": _STATUSES[vote.decision],
        "reviewer": vote.reviewer,
        "reviewer_notes": vote.notes,
        "approved_at": now if vote.decision == "APPROVE" else None,
    }
    t = promotion_proposals
    connection.execute(update(t).where(t.c.id == proposal.id).values(values))
