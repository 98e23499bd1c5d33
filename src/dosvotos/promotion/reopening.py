"""REOPEN: the one way back for a model that a person has rejected."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, update

from dosvotos.audit.decision_text import DecisionText
from dosvotos.audit.people import Signatory
from dosvotos.database.registry import (
    change_one,
    get_model,
    get_proposal,
    production_model,
    replacing_proposal,
)
from dosvotos.database.tables import promotion_proposals
from dosvotos.errors import DecisionConflictError, DecisionError, NotAllowedError
from dosvotos.promotion.decision import extra_digest
from dosvotos.promotion.transaction import ActOf, Entry, Subject
from dosvotos.promotion.vote_rules import EarlierVote, closing_vote, columns_after, earlier_votes
from dosvotos.users import same_person


@dataclass(frozen=True)
class Reopen(ActOf):
    """Open a rejected proposal for another 30 days: another reviewer's act."""

    proposal_id: int
    reviewer: str
    reason: str
    action: Literal["REOPEN"] = "REOPEN"

    def instrument_in(self, connection: Connection) -> str:
        """The proposal's."""
        return str(get_proposal(connection, self.proposal_id).instrument)

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return {"proposal": self.proposal_id}

    def check(self, connection: Connection, who: Signatory, now: datetime) -> None:
        """Refuse what nobody rejected, what the same person rejected, and what a newer one replaced."""
        proposal = get_proposal(connection, self.proposal_id)
        closing = self._closing(connection, proposal)
        if same_person(closing.reviewer, who.name) and who.role is not None:
            raise NotAllowedError.of("own_rejection", person=who.name)
        if (newer := replacing_proposal(connection, proposal)) is not None:
            raise DecisionConflictError.of("newer_proposal", proposal=proposal.id, newer=newer)

    def subject(self, connection: Connection) -> Subject:
        """Say which rejection is taken back, and in single-user mode that it is by the same person."""
        proposal = get_proposal(connection, self.proposal_id)
        closing, model = self._closing(connection, proposal), get_model(connection, proposal.model_id)
        own = same_person(closing.reviewer, self.reviewer)
        return Subject(
            proposal=proposal.id,
            dossier=proposal.dossier_hash,
            model=model.manifest_hash,
            extra=extra_digest(connection, proposal.id),
            other={"rejected_in": closing.id, "self_reopened": own},
        )

    def carry_out(
        self, connection: Connection, who: Signatory, text: DecisionText | None, epoch: int, now: datetime
    ) -> Entry:
        """Let the proposal wait for its vote again."""
        p, proposal = promotion_proposals, get_proposal(connection, self.proposal_id)
        waiting = columns_after(None, reopened_at=now)
        change_one(connection, update(p).where(p.c.id == proposal.id).values(waiting))
        production = production_model(connection, proposal.instrument)
        return Entry(
            epoch,
            model_id=proposal.model_id,
            proposal_id=proposal.id,
            previous_production_model=production.model_id if production else None,
            new_stage=get_model(connection, proposal.model_id).stage,
        )

    def _closing(self, connection: Connection, proposal: Row[Any]) -> EarlierVote:
        model = get_model(connection, proposal.model_id)
        votes = earlier_votes(connection, model.manifest_hash, model.model_hash, proposal.instrument)
        closing = closing_vote(votes)
        if closing is None or proposal.status != "REJECTED":
            raise DecisionError.of("nothing_to_reopen", proposal=proposal.id, status=proposal.status)
        return closing
