"""What a proposal's pages say as of now: it may grow later, so it stands in no file of the proposal."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from dosvotos.database.registry import get_model
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.older_traces import older_traces
from dosvotos.promotion.own_strategy import kind_notices, own_targets
from dosvotos.promotion.reasons import Reason
from dosvotos.promotion.refit import refit_of
from dosvotos.promotion.retracted import retracted_reasons
from dosvotos.promotion.vote_rules import EarlierVote, closing_vote, earlier_votes, rejected_before


def votes_on(connection: Connection, proposal: Row[Any]) -> tuple[EarlierVote, ...]:
    """Read every vote on a proposal's model, those on its other proposals included, oldest first."""
    model = get_model(connection, proposal.model_id)
    return earlier_votes(connection, model.manifest_hash, model.model_hash, proposal.instrument)


def notices_of(connection: Connection, proposal: Row[Any], root: Path = Path()) -> tuple[Reason, ...]:
    """Give what a reader must know besides the first vote.

    What kind of candidate it is about, that a person rejected this model on another proposal, that data
    behind it were retracted since, and that work older than the trial ledger lies beside it.
    """
    return (
        *notices_on_card(connection, proposal),
        *(traces.reason for traces in older_traces(connection, root)),
    )


def notices_on_card(connection: Connection, proposal: Row[Any]) -> tuple[Reason, ...]:
    """Give what a list of proposals says of each: what it is about, and what bars its approval."""
    return (*kind_notices(proposal), *_bars_as_of_now(connection, proposal))


def bars_to_approval(connection: Connection, proposal: Row[Any]) -> tuple[Reason, ...]:
    """Give what bars an approval besides L4's veto.

    That nothing could be served, a REJECT of the model elsewhere, a policy without refits, retracted data.
    """
    own = kind_notices(proposal) if own_targets(proposal) else ()
    return (*own, *_bars_as_of_now(connection, proposal))


def _bars_as_of_now(connection: Connection, proposal: Row[Any]) -> tuple[Reason, ...]:
    closing = closing_vote(votes_on(connection, proposal))
    closed = (rejected_before(closing),) if closing and closing.proposal_id != proposal.id else ()
    lets_refits = refit_of(proposal) is None or current_policy(connection).refit_to_shadow
    barred = () if lets_refits else (Reason(code="refit_barred"),)
    return (*closed, *barred, *retracted_reasons(connection, proposal))
