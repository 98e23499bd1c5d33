"""The second vote on a proposal: approve (to production or shadow), reject, or ask for extra backtests."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, func, select, update

from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.people import Signatory, has_people
from dosvotos.database.registry import change_one, get_model, get_proposal, is_open, production_model
from dosvotos.database.requests import add_request
from dosvotos.database.tables import (
    approval_audit_log,
    backtest_requests,
    instruments,
    model_registry,
    promotion_proposals,
)
from dosvotos.errors import AlteredError, DecisionConflictError, DecisionError, NotAllowedError
from dosvotos.hashing import digest_bytes, digest_json
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
from dosvotos.promotion.champions import announce_production
from dosvotos.promotion.dossier import Dossier
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.own_strategy import refuse_unserved
from dosvotos.promotion.reasons import FirstVote
from dosvotos.promotion.refit import check_refit_vote, refit_of
from dosvotos.promotion.retracted import refuse_retracted_data
from dosvotos.promotion.transaction import (
    ActOf,
    Entry,
    Outcome,
    Signed,
    Subject,
    carry_out,
    decision_text,
    text_to_sign,
)
from dosvotos.promotion.tripwires import Lapses, StatedTripwires
from dosvotos.promotion.vote_rules import (
    STATUS_AFTER,
    Decision,
    check_reason,
    closing_vote,
    columns_after,
    earlier_votes,
    status_after,
)
from dosvotos.promotion.voted_rows import check_rejections
from dosvotos.users import same_person


class Vote(NamedTuple):
    """What a person decides about a proposal."""

    decision: Decision
    reviewer: str
    """The authenticated person."""
    notes: str = ""
    promote_to_production: bool = True
    """False approves to shadow: the model runs beside production and its signals go nowhere."""
    lapses: StatedTripwires = StatedTripwires()
    """When an approval ends; what is not stated is the policy's bound."""


class DecisionResult(NamedTuple):
    """What a vote did."""

    model_id: str
    new_stage: str
    status: str
    audit_id: int
    """Row of the log."""
    missing: int = 0
    """Approvals that production still needs."""
    repeated: bool = False
    """Whether the same request had come before and nothing was done again."""


def decide(
    engine: Engine,
    proposal_id: int,
    vote: Vote,
    now: datetime,
    verified: str | None = None,
    signed: Signed | None = None,
    key: str | None = None,
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
    signed : Signed, optional
        Text and signature; without it single-user mode's key signs, if the log is without people.
    key : str, optional
        Idempotency key: the same request again gets the first one's answer.

    Raises
    ------
    DecisionError
        If the vote breaks a rule: unknown proposal, vetoed by L4, reason missing, own model, no signature.
    DecisionConflictError
        If the proposal was decided, superseded or expired, or production has changed since L4.
    BundleError, LineageError
        If the model's or the proposal's files are not those L4 wrote.
    """
    check_reason(vote.decision, vote.notes)
    act = ProposalVote(proposal_id, vote, verified)
    return _result(carry_out(engine, act, vote.reviewer, now, signed, key))


def vote_text(
    engine: Engine, proposal_id: int, vote: Vote, now: datetime, reason: str | None = None
) -> DecisionText:
    """Write the text that a reviewer signs for a vote, after every check; raises as `decide`.

    `reason` is the SHA-256 of the reviewer's notes, where they themselves do not come yet.
    """
    return text_to_sign(engine, ProposalVote(proposal_id, vote), vote.reviewer, now, reason)


def approvals_so_far(connection: Connection, proposal_id: int, vote: Vote, now: datetime) -> list[str]:
    """Name those who have approved, as the rows stand, just what this vote would approve."""
    who = Signatory(vote.reviewer, None)
    text = decision_text(connection, ProposalVote(proposal_id, vote), who, now)
    return _agreeing(connection, proposal_id, _agreement(connection, text))


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
        single_user = not has_people(connection)
        _check_may_approve(
            proposal, model, production.model_id if production else None, vote.reviewer, single_user
        )
        check_refit_vote(connection, proposal, vote.promote_to_production)
        _check_not_closed(connection, proposal, model)
        _check_policy(connection, proposal)


@dataclass(frozen=True)
class ProposalVote(ActOf):
    """A vote, as a decision that can be carried out."""

    proposal_id: int
    vote: Vote
    verified: str | None = None
    """Hash of the dossier that was computed again."""
    expected: ExpectedRows | None = None
    """The dossier of an approval, read before the lock."""
    queued: Mapping[str, Any] | None = None
    """Row of the extra backtest that is asked for by the same act."""

    @property
    def action(self) -> str:
        """APPROVE, REJECT or REQUEST_MORE_TESTS."""
        return self.vote.decision

    @property
    def reason(self) -> str:
        """The reviewer's notes."""
        return self.vote.notes

    @property
    def needs_signature(self) -> bool:
        """A request of extra backtests changes nothing and needs none."""
        return self.vote.decision != "REQUEST_MORE_TESTS"

    def instrument_in(self, connection: Connection) -> str:
        """The proposal's."""
        return str(get_proposal(connection, self.proposal_id).instrument)

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        stated = {"production": self.vote.promote_to_production, "lapses": self.vote.lapses.model_dump()}
        return {"proposal": self.proposal_id, **(stated if self.action == "APPROVE" else {})}

    def prepared(self, connection: Connection, now: datetime) -> "ProposalVote":
        """Read the dossier of an approval that can be carried out as the rows stand."""
        proposal = get_proposal(connection, self.proposal_id)
        check_vote(connection, proposal, self.vote, now)
        if self.action == "APPROVE":
            check_rejections(connection, files_too=True)
        if self.verified not in (None, proposal.dossier_hash):
            raise DecisionConflictError.of(
                "dossier_exchanged", proposal=proposal.id, verified=self.verified, found=proposal.dossier_hash
            )
        return replace(self, expected=expected_rows(proposal)) if self.action == "APPROVE" else self

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse a vote that cannot be carried out as the rows stand."""
        check_vote(connection, get_proposal(connection, self.proposal_id), self.vote, now)
        if self.action == "APPROVE" and who.name in approvals_so_far(
            connection, self.proposal_id, self.vote, now
        ):
            raise DecisionConflictError.of("approved_already", proposal=self.proposal_id, person=who.name)

    def subject(self, connection: Connection) -> Subject:
        """Say which dossier, model and stage are decided on."""
        proposal = get_proposal(connection, self.proposal_id)
        model = get_model(connection, proposal.model_id)
        about = Subject(
            proposal=proposal.id,
            dossier=proposal.dossier_hash,
            model=model.manifest_hash,
            extra=extra_digest(connection, proposal.id),
        )
        if self.action != "APPROVE":
            return about
        lapses = self._lapses(connection, model)
        if not self.vote.promote_to_production:
            return about._replace(stage="shadow", lapses=lapses)
        old = production_model(connection, proposal.instrument)
        replaces = old.manifest_hash if old else None
        return about._replace(stage="production", replaces=replaces, lapses=lapses)

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Give model and proposal what follows from the vote."""
        proposal = get_proposal(connection, self.proposal_id)
        model = get_model(connection, proposal.model_id)
        production = production_model(connection, proposal.instrument)
        entry = Entry(
            epoch,
            model_id=model.model_id,
            proposal_id=proposal.id,
            previous_production_model=production.model_id if production else None,
            new_stage=model.stage,
        )
        status = STATUS_AFTER[self.vote.decision]
        if text is not None and self.expected is not None:
            entry, status = self._approve(connection, entry, text, self.expected, who, now)
        if status == "PENDING_APPROVAL":
            _keep_open(connection, proposal)
        else:
            _close(connection, proposal, self.vote, now)
        if self.queued is not None:
            add_request(connection, self.queued)
        return entry

    def _approve(
        self,
        connection: Connection,
        entry: Entry,
        text: DecisionText,
        expected: ExpectedRows,
        who: Signatory,
        now: datetime,
    ) -> tuple[Entry, str]:
        """Check what is sealed, count the approvals, and promote when there are enough."""
        proposal = get_proposal(connection, self.proposal_id)
        model = get_model(connection, proposal.model_id)
        check_head(connection, proposal.instrument)
        refuse_retracted_data(connection, proposal)
        _check_sealed(connection, proposal, model, expected)
        quorum = _quorum(connection, text, who)
        agreement = _agreement(connection, text)
        agreeing = _agreeing(connection, proposal.id, agreement)
        if who.name in agreeing:
            raise DecisionConflictError.of("approved_already", proposal=proposal.id, person=who.name)
        approvals = 1 + len(agreeing)
        entry = entry._replace(
            self_approved=same_person(who.name, model.trained_by),
            trained_by=model.trained_by,
            agreement=agreement,
            approvals=approvals,
            quorum=quorum,
        )
        if approvals < quorum:
            return entry, "PENDING_APPROVAL"
        stage = text.stage or "shadow"
        entry = entry._replace(new_stage=stage, epoch=entry.epoch + (stage == "production"))
        _set_stage(connection, proposal, expected.figures, stage, now)
        return entry, "APPROVED"

    def _lapses(self, connection: Connection, model: Row[Any]) -> Lapses:
        if not isinstance(model.config_hash, str):
            column = f"{model_registry}.config_hash of {model.model_id}"
            raise AlteredError.of("voted_altered", found=f"{column} is {model.config_hash!r}")
        return self.vote.lapses.within(current_policy(connection).tripwires, model.config_hash)


def extra_digest(connection: Connection, proposal_id: int) -> str | None:
    """Hash the sorted manifest hashes of a proposal's finished extra backtests, one a line; None for none."""
    t = backtest_requests
    query = select(t.c.result_hash).where(t.c.proposal_id == proposal_id, t.c.status == "done")
    hashes = sorted(connection.execute(query).scalars())
    return digest_bytes("".join(f"{one}\n" for one in hashes).encode()) if hashes else None


def _result(outcome: Outcome) -> DecisionResult:
    row = outcome.row
    missing = max(0, (row.quorum or 0) - (row.approvals or 0)) if row.action == "APPROVE" else 0
    return DecisionResult(row.model_id, row.new_stage, status_after(row), row.id, missing, outcome.repeated)


def _quorum(connection: Connection, text: DecisionText, who: Signatory) -> int:
    """How many approvals it takes: the policy's for production; one for shadow, and in single-user mode."""
    return current_policy(connection).quorum if text.stage == "production" and who.role is not None else 1


def _agreement(connection: Connection, text: DecisionText) -> str:
    """Hash what the approvals of one quorum have in common.

    A proposal reopened begins anew, and so does every quorum once somebody is revoked: an approval of
    theirs no longer counts.
    """
    t = approval_audit_log
    begins_anew = (t.c.proposal_id == text.proposal) & (t.c.action == "REOPEN")
    begins_anew |= t.c.action.in_(("REVOKE_REVIEWER", "RESTORE"))
    times = connection.execute(select(func.count()).select_from(t).where(begins_anew)).scalar_one()
    return digest_json({"decided": str(text.decided), "begun_anew": times})


def _agreeing(connection: Connection, proposal_id: int, agreement: str) -> list[str]:
    """Name those who have approved the same."""
    t = approval_audit_log
    same = (t.c.proposal_id == proposal_id) & (t.c.agreement == agreement) & (t.c.action == "APPROVE")
    return list(connection.execute(select(t.c.reviewer).where(same)).scalars())


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
            raise AlteredError.of(
                "row_altered",
                proposal=proposal.id,
                column=f"{table}.{found.field}",
                recorded=found.recorded,
                recomputed=found.recomputed,
            )
    Dossier.of(proposal)
    open_bundle(Path(model.model_path), model.manifest_hash)


def _check_open(proposal: Row[Any], now: datetime) -> None:
    if not is_open(proposal, now):
        raise DecisionConflictError.of(
            "proposal_closed",
            proposal=proposal.id,
            made=f"{proposal.created_at:%Y-%m-%d}",
            status=proposal.status,
        )


def _check_may_approve(
    proposal: Row[Any], model: Row[Any], production_id: str | None, reviewer: str, single_user: bool
) -> None:
    refuse_unserved(proposal)
    if proposal.recommendation == "REJECT":
        raise DecisionError.of("veto", proposal=proposal.id, reason=FirstVote.of(proposal))
    if same_person(reviewer, model.trained_by) and not single_user:
        raise NotAllowedError.of("own_model", person=reviewer, model=model.model_id)
    if refit_of(proposal) is not None:  # compared with no model
        return
    if (baseline := _value_in(proposal.lineage, "baseline_model_id")) != production_id:
        raise DecisionConflictError.of(
            "other_production", proposal=proposal.id, baseline=baseline, production=production_id
        )


def _check_not_closed(connection: Connection, proposal: Row[Any], model: Row[Any]) -> None:
    check_rejections(connection, files_too=False)
    votes = earlier_votes(connection, model.manifest_hash, model.model_hash, proposal.instrument)
    if (closing := closing_vote(votes)) is not None:
        raise DecisionConflictError.of(
            "model_closed",
            proposal=proposal.id,
            person=closing.reviewer,
            date=f"{closing.created_at:%Y-%m-%d}",
            earlier=closing.proposal_id,
        )


def _check_policy(connection: Connection, proposal: Row[Any]) -> None:
    then, now = _value_in(proposal.evidence, "policy"), current_policy(connection).version
    if then is not None and then != now:
        raise DecisionConflictError.of("other_policy", proposal=proposal.id, made_under=then, current=now)


def _value_in(column: Any, name: str) -> Any:
    """Take a value of a JSON column, None where it was altered to hold none: the dossier will tell."""
    return column.get(name) if isinstance(column, dict) else None


def _set_stage(
    connection: Connection, proposal: Row[Any], figures: dict[str, Any], stage: str, now: datetime
) -> None:
    """Give the proposal's model its stage and its figures; a new production model replaces the old."""
    if stage == "production":
        put_into_production(connection, proposal.instrument, proposal.model_id, now)
    t = model_registry
    values = figures if stage == "production" else {"stage": stage, **figures}
    change_one(connection, update(t).where(t.c.model_id == proposal.model_id).values(values))


def put_into_production(connection: Connection, instrument: str, model_id: str, now: datetime) -> None:
    """Archive the old production model and promote another; the head row names it."""
    t = model_registry
    old = (t.c.instrument == instrument) & (t.c.stage == "production") & (t.c.model_id != model_id)
    connection.execute(update(t).where(old).values(stage="archived", archived_at=now))
    promoted = update(t).where(t.c.model_id == model_id).values(stage="production", promoted_at=now)
    change_one(connection, promoted)
    head = update(instruments).where(instruments.c.instrument == instrument)
    change_one(connection, head.values(production_model_id=model_id))
    announce_production(connection, instrument, model_id, now)


def _close(connection: Connection, proposal: Row[Any], vote: Vote, now: datetime) -> None:
    values = {
        "status": STATUS_AFTER[vote.decision],
        "reviewer": vote.reviewer,
        "reviewer_notes": vote.notes,
        "approved_at": now if vote.decision == "APPROVE" else None,
    }
    t = promotion_proposals
    change_one(connection, update(t).where(t.c.id == proposal.id).values(values))


def _keep_open(connection: Connection, proposal: Row[Any]) -> None:
    """Leave a proposal open for the approvals it still needs."""
    t = promotion_proposals
    waiting = columns_after(None, proposal.reopened_at)
    change_one(connection, update(t).where(t.c.id == proposal.id).values(waiting))
