"""Who may decide what, and when: every actor, action and state against a model of its own."""

from collections.abc import Iterable, Iterator

import pytest
from sqlalchemy import Connection

from dosvotos.audit.checkpoints import open_home
from dosvotos.audit.people import Signatory, Trust
from dosvotos.audit.signatures import read_trust
from dosvotos.database.connection import reading
from dosvotos.errors import DecisionConflictError, DecisionError, NotAllowedError
from dosvotos.promotion.decision import ProposalVote, Vote
from dosvotos.promotion.gate_policy import GatePolicies, GatePolicy
from dosvotos.promotion.house_acts import AddReviewer, RevokeReviewer, SetPolicy
from dosvotos.promotion.live_acts import Rollback, SwitchSignals
from dosvotos.promotion.reopening import Reopen
from dosvotos.promotion.transaction import Act
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team, now

ROLES = {"ada": "admin", "ana": "reviewer", "ben": "reviewer", "olga": "operator", "vera": "viewer"}
ACTORS = (*ROLES, "rita", "zoe")
"""Rita was revoked; Zoe was never added."""
ARCHIVED, SERVING, REJECTED, OPEN, VETOED, BENS, OUTDATED = range(1, 8)
"""Proposals: Ana rejected the third, L4 the fifth; Ben trained the sixth; the last knows no production."""
VOTES = ("APPROVE", "shadow", "REJECT", "REQUEST_MORE_TESTS", "REOPEN")
HOUSE = ("ADD new", "ADD taken", "REVOKE ben", "REVOKE ada", "REVOKE zoe", "POLICY new", "POLICY same")
Case = tuple[str, int]
"""Action, and the proposal it is about, else 0."""


def expected(actor: str, action: str, about: int, halted: bool, n_served: int) -> str:
    """Say what design and threats say: the role first, then the rule, then what has moved on."""
    what = action.partition(" ")[0]
    may = {"HALT": "operator reviewer admin", "ROLLBACK": "operator reviewer", "RESUME": "admin"}
    may |= dict.fromkeys(("ADD", "REVOKE", "POLICY"), "admin") | dict.fromkeys(VOTES, "reviewer")
    if ROLES.get(actor, "nobody") not in may[what].split():
        return "not allowed"
    by_state = {
        "HALT": "conflict" if halted else "allowed",
        "RESUME": "allowed" if halted else "conflict",
        "ROLLBACK": "allowed" if n_served > 1 else "refused",
        "REOPEN": "refused" if about != REJECTED else "not allowed" if actor == "ana" else "allowed",
    }
    if what in by_state:
        return by_state[what]
    if not about:
        return "allowed" if action.endswith(("new", "ben")) else "refused"
    moved_on = dict.fromkeys((ARCHIVED, SERVING, REJECTED), "conflict")
    of_approvals = {VETOED: "refused", OUTDATED: "conflict"} | (
        {BENS: "not allowed"} if actor == "ben" else {}
    )
    return (moved_on | (of_approvals if what in ("APPROVE", "shadow") else {})).get(about, "allowed")


def cases() -> Iterator[Case]:
    yield from ((action, about) for action in VOTES for about in range(1, 8))
    yield from ((action, 0) for action in ("HALT", "RESUME", "ROLLBACK", *HOUSE))


def act_of(desk: Desk, team: Team, actor: str, case: Case) -> Act:
    action, about = case
    if action == "REOPEN":
        return Reopen(about, actor, WHY)
    if action in VOTES:
        decision = "APPROVE" if action == "shadow" else action
        vote = Vote(decision, actor, WHY, promote_to_production=action != "shadow")  # type: ignore[arg-type]
        return ProposalVote(about, vote)
    policy = GatePolicies(desk.engine).current()
    return _about_no_proposal(policy, team)[action]


def _about_no_proposal(policy: GatePolicy, team: Team) -> dict[str, Act]:
    return {
        "HALT": SwitchSignals("HALT", INSTRUMENT, WHY),
        "RESUME": SwitchSignals("RESUME", INSTRUMENT, WHY),
        "ROLLBACK": Rollback(INSTRUMENT, WHY),
        "ADD new": AddReviewer(WHY, team.person("eve", "reviewer")),
        "ADD taken": AddReviewer(WHY, team.person("ANA", "viewer")),
        "REVOKE ben": RevokeReviewer(WHY, "ben"),
        "REVOKE ada": RevokeReviewer(WHY, "ada"),
        "REVOKE zoe": RevokeReviewer(WHY, "zoe"),
        "POLICY new": SetPolicy(WHY, policy.model_copy(update={"quorum": 2})),
        "POLICY same": SetPolicy(WHY, policy),
    }


def answer(connection: Connection, trust: Trust, act: Act, actor: str) -> str:
    """Check as a decision's transaction does, in its order."""
    try:
        who = act.signatory(trust, actor)
        who.require(act.action)
        act.check(connection, who, now())
    except NotAllowedError:
        return "not allowed"
    except DecisionConflictError:
        return "conflict"
    except DecisionError:
        return "refused"
    return "allowed"


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


@pytest.fixture
def team(desk) -> Team:
    people = [(name, role) for name, role in ROLES.items() if role != "admin"]
    made = Team(desk.engine).begin([*people, ("rita", "reviewer")])  # type: ignore[list-item]
    made.do(RevokeReviewer(WHY, "rita"), "ada")
    return made


def seven_proposals(desk: Desk, team: Team) -> None:
    """Bring seven proposals into the states that their names say."""
    first = team.vote(desk.propose("one", 1), "ana").model_id
    serving = team.vote(desk.propose("two", 2, baseline_model_id=first), "ana").model_id
    team.vote(desk.propose("three", 3, baseline_model_id=serving), "ana", "REJECT")
    desk.propose("four", 4, baseline_model_id=serving)
    desk.propose("five", 5, baseline_model_id=serving, recommendation="REJECT", confidence=0.9)
    desk.propose("six", 6, baseline_model_id=serving, trained_by="ben")
    desk.propose("seven", 7, baseline_model_id=first)


def differing(
    desk: Desk, team: Team, tried: Iterable[Case], halted: bool, n_served: int
) -> list[tuple[str, Case, str, str]]:
    acts = {(actor, case): act_of(desk, team, actor, case) for actor in ACTORS for case in tried}
    found = []
    with reading(desk.engine) as connection:
        trust = read_trust(connection, open_home(connection))
        for (actor, case), act in acts.items():
            wanted = expected(actor, *case, halted, n_served)
            if (said := answer(connection, trust, act, actor)) != wanted:
                found.append((actor, case, said, wanted))
    return found


def test_everybody_may_decide_exactly_what_the_model_says(desk, team):
    seven_proposals(desk, team)
    n_before = len(desk.votes())
    assert differing(desk, team, list(cases()), halted=False, n_served=2) == []
    assert len(desk.votes()) == n_before


def test_halts_and_rollbacks_go_by_the_state_they_meet(desk, team):
    team.vote(desk.propose("one", 1), "ana")
    team.do(SwitchSignals("HALT", INSTRUMENT, WHY), "olga")
    tried = [("HALT", 0), ("RESUME", 0), ("ROLLBACK", 0)]
    assert differing(desk, team, tried, halted=True, n_served=1) == []


@pytest.mark.parametrize(
    ("state", "needed"),
    [("none", False), ("open", True), ("serving", True), ("shadow", True), ("rejected", False)],
)
def test_who_trained_what_waits_or_serves_does_not_decide_alone_who_judges_it(desk, team, state, needed):
    """Every act about the house, by every admin there could be."""
    if state != "none":
        proposal_id = desk.propose("one", 1, trained_by="Ada ")
    if state in ("serving", "shadow"):
        team.vote(proposal_id, "ana", promote_to_production=state == "serving")
    if state == "rejected":
        team.vote(proposal_id, "ana", "REJECT")
    with reading(desk.engine) as connection:
        for action in ("ADD new", "REVOKE ben", "POLICY new"):
            act = act_of(desk, team, "ada", (action, 0))
            key = team.key("ada").public_key
            assert act.needs_second(connection, Signatory("ada", "admin", key)) == needed, action
            assert not act.needs_second(connection, Signatory("amy", "admin", key)), action
            assert not act.needs_second(connection, Signatory("ada", None, key)), "single-user mode"
