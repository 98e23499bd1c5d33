"""Whether valid votes cover a production model: what L5 may signal by, and what a rollback may go back to."""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.people import Trust
from dosvotos.audit.signatures import verify_decision
from dosvotos.database.registry import ProductionRows, production_rows
from dosvotos.database.tables import approval_audit_log
from dosvotos.errors import AlteredError
from dosvotos.promotion.gate_policy import policy_of_version
from dosvotos.promotion.tripwires import Lapses
from dosvotos.users import same_person


class Standing(NamedTuple):
    """What valid votes say of a model."""

    signed: bool
    """False for an approval of before signatures."""
    lapses: Lapses | None
    """When the approval ends."""


def check_standing(connection: Connection, trust: Trust, rows: ProductionRows) -> Standing:
    """Verify the votes that made a production model: each signed by who could, over this very model.

    Raises
    ------
    LineageError
        Naming what the votes do not cover.
    """
    model, approval, vote = rows.model, rows.approval, rows.vote
    if model is None or approval is None or vote is None or approval.text is None or vote.text is None:
        return Standing(False, None)
    if vote.id != approval.id:
        text = verify_decision(vote, trust)
        _compare(model, vote, {"model": (text.model, model.manifest_hash), **_common(text, model)})
    text = verify_decision(approval, trust)
    dossier_hash = rows.proposal.dossier_hash if rows.proposal else None
    about = {
        "model": (text.model, model.manifest_hash),
        "dossier": (text.dossier, dossier_hash),
        "proposal": (text.proposal, rows.proposal.id if rows.proposal else None),
    }
    _compare(model, approval, {**about, **_common(text, model)})
    _check_quorum(connection, trust, approval, text, model)
    return Standing(True, Lapses.model_validate(approval.lapses) if approval.lapses else None)


def waits_for_signed_vote(connection: Connection, instrument: str) -> bool:
    """Tell whether an instrument's production model was approved before votes were signed."""
    rows = production_rows(connection, instrument)
    decided = (rows.approval, rows.vote)
    return rows.model is not None and any(row is None or row.text is None for row in decided)


def _common(text: DecisionText, model: Row[Any]) -> dict[str, tuple[Any, Any]]:
    return {"instrument": (text.instrument, model.instrument), "stage": (text.stage, "production")}


def _compare(model: Row[Any], row: Row[Any], pairs: dict[str, tuple[Any, Any]]) -> None:
    for name, (signed, found) in pairs.items():
        if signed != found:
            raise AlteredError.of(
                "vote_not_of", model=model.model_id, row=row.id, line=name, signed=signed, found=found
            )


def _check_quorum(
    connection: Connection, trust: Trust, approval: Row[Any], text: DecisionText, model: Row[Any]
) -> None:
    """Ask for as many people as the policy did, who signed the same and of whom none is the trainer."""
    if approval.mode == "single-user":
        return
    needed = _quorum_then(connection, trust, text.policy)
    t = approval_audit_log
    agreeing = (t.c.proposal_id == approval.proposal_id) & (t.c.agreement == approval.agreement)
    names, keys = set(), set()
    for row in connection.execute(select(t).where(agreeing, t.c.action == "APPROVE", t.c.id <= approval.id)):
        signed = verify_decision(row, trust)
        if signed.decided != text.decided:
            raise AlteredError.of("approvals_differ", model=model.model_id, row=approval.id)
        who = trust.before(row.id).signatory(signed.reviewer)
        if same_person(who.name, model.trained_by):
            raise AlteredError.of("approved_by_trainer", model=model.model_id, row=row.id, person=who.name)
        names.add(who.name)
        keys.add(who.keys)
    if min(len(names), len(keys)) < needed:
        raise AlteredError.of("approvals_missing", model=model.model_id, needed=needed, found=len(names))


def _quorum_then(connection: Connection, trust: Trust, version: int) -> int:
    """Read the quorum of the policy an approval was given under, whose own signature must hold."""
    policy = policy_of_version(connection, version)
    if policy.decided is not None:
        verify_decision(policy.decided, trust)
    return policy.policy.quorum
