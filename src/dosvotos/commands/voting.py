"""``dosvotos vote``: a proposal's second vote from a terminal."""

from typing import cast

import click
from sqlalchemy import Engine

from dosvotos.commands.people import Keys, trust_in_people, wall_clock
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.decision import DecisionResult, Vote, vote_text
from dosvotos.promotion.tripwires import StatedTripwires
from dosvotos.promotion.vote_rules import Decision
from dosvotos.users import current_user


def vote_on_terminal(
    engine: Engine,
    proposal_id: int,
    decision: str,
    reason: str,
    to_production: bool,
    lapses: StatedTripwires,
    keys: Keys,
) -> DecisionResult:
    """Show the text, sign it with the reviewer's own key where the log has people, and carry the vote out."""
    vote = Vote(cast(Decision, decision), current_user(), reason, to_production, lapses)
    trust = trust_in_people(engine)
    signed = None
    if trust is not None and decision != "REQUEST_MORE_TESTS":
        text = vote_text(engine, proposal_id, vote, wall_clock())
        click.echo(f"\n{text}", err=True)
        signed = keys.sign(text, trust.signatory(vote.reviewer).ssh_key)
    return decide_verified(engine, proposal_id, vote, wall_clock(), signed)


def describe(proposal_id: int, result: DecisionResult) -> str:
    """Say what a vote did."""
    if result.missing:
        return (
            f"proposal {proposal_id}: approved, and {result.missing} more approval(s) needed for production"
        )
    return f"proposal {proposal_id}: {result.status}; {result.model_id} is in {result.new_stage}"
