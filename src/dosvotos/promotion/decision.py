"""The second vote: one transaction that promotes, archives and writes the audit row, or changes nothing."""

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, update

from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import (
    change_one,
    expire_proposals,
    get_model,
    get_proposal,
    is_open,
    lock_instrument,
    production_model,
)
from dosvotos.database.tables import instruments, model_registry, promotion_proposals
from dosvotos.errors import DecisionConflictError, DecisionError, LineageError
from dosvotos.policy.bundle import open_bundle
from dosvotos.promotion.agreement import (
    ExpectedRows,
    check_head,
    check_status,
    expected_rows,
    model_difference,
    proposal_difference,
    stage_difference,
)
from dosvotos.promotion.audit import append_audit_row
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.own_strategy import refuse_unserved
from dosvotos.promotion.retracted import refuse_retracted_data
from dosvotos.promotion.vote_rules import STATUS_AFTER, Decision, check_reason, closing_vote, earlier_votes
from dosvotos.users import same_person


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


def decide(
    engine: Engine, proposal_id: int, vote: Vote, now: datetime, verified: str | None = None
) -> DecisionResult:
    """Carry out a person's vote.

    Parameters
    ----------
    engine : Engine
    proposal_id : int
    vote : Vote
    now : datetime, timezone-aware
    verified : str or None
        Hash of the dossier that was computed again before this approval; another one is refused.

    Raises
    ------
    DecisionError
        If the vote breaks a rule: unknown proposal, vetoed by L4, notes missing, own model.
    DecisionConflictError
        If the proposal was decided, superseded or expired, or production has changed since L4.
    BundleError, LineageError
        If the model's or the proposal's files are not those L4 wrote.
    """
    check_reason(vote.decision, vote.notes)
    with writing(engine) as connection:
        expire_proposals(connection, now)
    with reading(engine) as connection:
        proposal = get_proposal(connection, proposal_id)
        check_vote(connection, proposal, vote, now)
    if verified not in (None, proposal.dossier_hash):
        raise DecisionConflictError(
            f"proposal {proposal.id}: its dossier was exchanged while it was computed again, {verified} for "
            f"{proposal.dossier_hash}; nothing was approved"
        )
    expected = expected_rows(proposal) if vote.decision == "APPROVE" else None
    with writing(engine) as connection:
        return _carry_out(connection, proposal_id, vote, expected, now)


def check_vote(connection: Connection, proposal: Row[Any], vote: Vote, now: datetime) -> None:
    """Refuse a vote that cannot be carried out as the rows stand.

    Raises
    ------
    DecisionError, DecisionConflictError
    """
    _check_open(proposal, now)
    check_status(connection, proposal)
    if vote.decision == "APPROVE":
        production = production_model(connection, proposal.instrument)
        model = get_model(connection, proposal.model_id)
        _check_may_approve(proposal, model, production.model_id if production else None, vote)
        _check_not_closed(connection, proposal, model)
        _check_policy(connection, proposal)


def _carry_out(
    connection: Connection, proposal_id: int, vote: Vote, expected: ExpectedRows | None, now: datetime
) -> DecisionResult:
    head = lock_instrument(connection, get_proposal(connection, proposal_id).instrument)
    proposal = get_proposal(connection, proposal_id)
    model = get_model(connection, proposal.model_id)
    production = production_model(connection, proposal.instrument)
    stage, epoch = model.stage, head.epoch
    check_vote(connection, proposal, vote, now)
    if expected is not None:
        check_head(connection, proposal.instrument)
        refuse_retracted_data(connection, proposal)
        _check_sealed(connection, proposal, model, expected)
        stage = "production" if vote.promote_to_production else "shadow"
        epoch += stage == "production"
        _set_stage(connection, proposal, expected.figures, stage, epoch, now)
    _close(connection, proposal, vote, now)
    entry = {
        "action": vote.decision,
        "model_id": proposal.model_id,
        "proposal_id": proposal.id,
        "reviewer": vote.reviewer,
        "notes": vote.notes,
        "previous_production_model": production.model_id if production else None,
        "new_stage": stage,
        "self_approved": expected is not None and same_person(vote.reviewer, model.trained_by),
        "epoch": epoch,
    }
    append_audit_row(connection, entry, now)
    return DecisionResult(model.model_id, stage, STATUS_AFTER[vote.decision])


def _check_sealed(
    connection: Connection, proposal: Row[Any], model: Row[Any], expected: ExpectedRows
) -> None:
    """Hash dossier and bundle again, and compare the rows with what was voted on."""
    for table, found in (
        ("promotion_proposals", proposal_difference(connection, proposal, expected)),
        ("model_registry", model_difference(model, expected)),
        ("model_registry", stage_difference(connection, model)),
    ):
        if found is not None:
            raise LineageError(
                f"proposal {proposal.id}: {table}.{found.field} is {found.recorded}, by dossier and votes "
                f"{found.recomputed}; it was altered and cannot be approved"
            )
    Dossier.of(proposal)
    open_bundle(Path(model.model_path), model.manifest_hash)


def _check_open(proposal: Row[Any], now: datetime) -> None:
    if not is_open(proposal, now):
        raise DecisionConflictError(
            f"proposal {proposal.id} of {proposal.created_at:%Y-%m-%d} is {proposal.status}: it can no "
            "longer be voted on"
        )


def _check_may_approve(proposal: Row[Any], model: Row[Any], production_id: str | None, vote: Vote) -> None:
    refuse_unserved(proposal)
    if proposal.recommendation == "REJECT":
        raise DecisionError(
            f"proposal {proposal.id}: L4 recommends REJECT, which is a veto: {proposal.reason}"
        )
    if same_person(vote.reviewer, model.trained_by) and not vote.single_user:
        raise DecisionError(f"{vote.reviewer} trained {model.model_id} and may not approve it")
    if (baseline := _value_in(proposal.lineage, "baseline_model_id")) != production_id:
        raise DecisionConflictError(
            f"proposal {proposal.id} was compared with {baseline}, but production is now {production_id}; "
            "run the backtest and promotion pipelines again"
        )


def _check_not_closed(connection: Connection, proposal: Row[Any], model: Row[Any]) -> None:
    votes = earlier_votes(connection, model.manifest_hash, model.model_hash, proposal.instrument)
    if (closing := closing_vote(votes)) is not None:
        raise DecisionConflictError(
            f"proposal {proposal.id}: {closing.reviewer} rejected this model on "
            f"{closing.created_at:%Y-%m-%d}, as proposal {closing.proposal_id}; it stays closed"
        )


def _check_policy(connection: Connection, proposal: Row[Any]) -> None:
    then, now = _value_in(proposal.evidence, "policy"), current_policy(connection).version
    if then is not None and then != now:
        raise DecisionConflictError(
            f"proposal {proposal.id} was made under policy {then}, but policy {now} counts now; run the "
            "backtest and promotion pipelines again"
        )


def _value_in(column: Any, name: str) -> Any:
    """Take a value of a JSON column, None where it was altered to hold none: the dossier will tell."""
    return column.get(name) if isinstance(column, dict) else None


def _set_stage(
    connection: Connection, proposal: Row[Any], figures: dict[str, Any], stage: str, epoch: int, now: datetime
) -> None:
    """Give the proposal's model its stage and its figures; a new production model replaces the old."""
    t, chosen = model_registry, model_registry.c.model_id == proposal.model_id
    if stage != "production":
        change_one(connection, update(t).where(chosen).values(stage=stage, **figures))
        return
    old = (t.c.instrument == proposal.instrument) & (t.c.stage == "production")
    connection.execute(update(t).where(old).values(stage="archived", archived_at=now))
    change_one(connection, update(t).where(chosen).values(stage=stage, promoted_at=now, **figures))
    head = update(instruments).where(instruments.c.instrument == proposal.instrument)
    change_one(connection, head.values(epoch=epoch, production_model_id=proposal.model_id))


def _close(connection: Connection, proposal: Row[Any], vote: Vote, now: datetime) -> None:
    values = {
        "status": STATUS_AFTER[vote.decision],
        "reviewer": vote.reviewer,
        "reviewer_notes": vote.notes,
        "approved_at": now if vote.decision == "APPROVE" else None,
    }
    t = promotion_proposals
    change_one(connection, update(t).where(t.c.id == proposal.id).values(values))
