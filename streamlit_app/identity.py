"""Who calls, and what they vote: identity comes from a credential, never from what a request says."""

from typing import Final, Literal, NamedTuple

from dosvotos.audit.people import MAY, Role
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.tripwires import StatedTripwires
from dosvotos.promotion.vote_rules import Decision, check_reason
from dosvotos.users import current_user
from streamlit_app.problems import RefusedError

POLICY_BOUNDS: Final = StatedTripwires()
"""States no tripwire of one's own."""
Way = Literal["single-user", "token", "passkey"]


class Caller(NamedTuple):
    """Who calls, as a credential proves it."""

    name: str
    role: Role | None
    """None in single-user mode, which holds every role."""
    way: Way

    def may(self, action: str) -> bool:
        """Tell whether the role includes a decision."""
        return self.role is None or self.role in MAY[action]

    def require(self, roles: frozenset[Role]) -> None:
        """Refuse whoever holds none of the roles; raises RefusedError."""
        if self.role not in (None, *roles):
            stated = " | ".join(sorted(roles))
            raise RefusedError(403, "role", person=self.name, role=self.role, roles=stated)


def local_caller() -> Caller:
    """Give the person who runs the process: the caller in single-user mode."""
    return Caller(current_user(), None, "single-user")


def cast_vote(
    caller: Caller,
    decision: Decision,
    notes: str | None,
    to_production: bool,
    lapses: StatedTripwires = POLICY_BOUNDS,
) -> Vote:
    """Make a vote of whoever calls; without notes one whose reason is not known yet, to be signed first.

    Raises
    ------
    DecisionError
        If it needs a reason that is missing or not plain text.
    """
    if notes is not None:
        check_reason(decision, notes)
    return Vote(decision, caller.name, notes or "", promote_to_production=to_production, lapses=lapses)
