"""Who votes: the person who runs the process, in single-user mode, whose local key signs."""

from dosvotos.promotion.decision import Vote
from dosvotos.promotion.vote_rules import Decision, check_reason
from dosvotos.users import current_user


def cast_vote(decision: Decision, notes: str, to_production: bool) -> Vote:
    """Make a vote of the authenticated person.

    Raises
    ------
    DecisionError
        If it needs a reason that is missing or not plain text.
    """
    check_reason(decision, notes)
    return Vote(decision, current_user(), notes, promote_to_production=to_production)
