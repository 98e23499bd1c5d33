from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from dosvotos.audit.log import find_breaks, read_audit_log, read_chain
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import get_model, get_proposal
from dosvotos.database.tables import approval_audit_log, model_registry
from dosvotos.errors import (
    BundleError,
    DecisionConflictError,
    DecisionError,
    LineageError,
    UnknownProposalError,
)
from dosvotos.promotion import decision, transaction
from dosvotos.promotion.decision import Vote, decide
from tests.proposal_fixtures import Desk

NOTES = "read the curve, twice, and slept on it"


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def now() -> datetime:
    return datetime.now(UTC)


def vote(**changes) -> Vote:
    return Vote(**{"decision": "APPROVE", "reviewer": "bob", "notes": NOTES, **changes})


def untouched(desk: Desk, proposal_id: int) -> bool:
    row = desk.proposal(proposal_id)
    return (
        row.status == "PENDING_APPROVAL" and desk.votes() == [] and set(desk.stages().values()) == {"staging"}
    )


def test_approval_promotes_archives_raises_the_epoch_and_writes_the_audit_row(desk):
    first = desk.propose("one", 1)
    outcome = decide(desk.engine, first, vote(), now())
    assert (outcome.new_stage, outcome.status) == ("production", "APPROVED")
    second = desk.propose("two", 2, baseline_model_id=outcome.model_id)
    replaced = decide(desk.engine, second, vote(), now())
    assert desk.stages() == {outcome.model_id: "archived", replaced.model_id: "production"}
    assert desk.epoch() == 2
    with reading(desk.engine) as connection:
        assert get_model(connection, outcome.model_id).archived_at is not None
        assert get_proposal(connection, second).reviewer == "bob"
    rows = desk.votes()
    assert [(r.id, r.action, r.previous_production_model, r.epoch) for r in rows] == [
        (1, "APPROVE", None, 1),
        (2, "APPROVE", outcome.model_id, 2),
    ]
    with reading(desk.engine) as connection:
        assert find_breaks(read_chain(connection)) == []


def test_a_second_production_model_is_refused_by_the_database_itself(desk):
    decide(desk.engine, desk.propose("one", 1), vote(), now())
    other = desk.propose("two", 2)
    production = model_registry.c.model_id == desk.proposal(other).model_id
    with pytest.raises(Exception, match=r"(?i)unique"), writing(desk.engine) as connection:
        connection.execute(update(model_registry).where(production).values(stage="production"))


@pytest.mark.parametrize(
    ("changes", "votes", "message"),
    [
        ({"recommendation": "REJECT"}, {}, "veto"),
        ({"recommendation": "REVIEW"}, {"notes": "   too short        "}, "at least 20 characters, had 9"),
        ({}, {"notes": "x" * 4001}, "at most 4000 characters"),
        ({}, {"notes": "a note with a NUL \x00 in it"}, r"found U\+0000 NUL"),
    ],
)
def test_a_vote_against_the_rules_changes_nothing(desk, changes, votes, message):
    proposal_id = desk.propose("one", 1, **changes)
    with pytest.raises(DecisionError, match=message):
        decide(desk.engine, proposal_id, vote(**votes), now())
    assert untouched(desk, proposal_id)


def test_a_review_is_approved_with_notes(desk):
    proposal_id = desk.propose("one", 1, recommendation="REVIEW")
    assert decide(desk.engine, proposal_id, vote(), now()).new_stage == "production"


def test_in_single_user_mode_an_own_model_is_approved_and_marked(desk):
    decide(desk.engine, desk.propose("one", 1, trained_by="bob"), vote(), now())
    assert [row.self_approved for row in desk.votes()] == [True]


def test_approval_to_shadow_leaves_production_as_it_is(desk):
    first = decide(desk.engine, desk.propose("one", 1), vote(), now())
    second = desk.propose("two", 2, baseline_model_id=first.model_id)
    shadow = decide(desk.engine, second, vote(promote_to_production=False), now())
    assert desk.stages() == {first.model_id: "production", shadow.model_id: "shadow"}
    assert [row.epoch for row in desk.votes()] == [1, 1]


@pytest.mark.parametrize(
    ("choice", "status"), [("REJECT", "REJECTED"), ("REQUEST_MORE_TESTS", "MORE_TESTS_REQUESTED")]
)
def test_turning_down_leaves_the_model_in_staging(desk, choice, status):
    proposal_id = desk.propose("one", 1)
    assert decide(desk.engine, proposal_id, vote(decision=choice), now()).new_stage == "staging"
    assert desk.proposal(proposal_id).status == status
    assert [row.action for row in desk.votes()] == [choice]


def test_after_more_tests_a_proposal_can_still_be_approved_but_not_after_a_rejection(desk):
    open_one, closed_one = desk.propose("one", 1), desk.propose("two", 2)
    decide(desk.engine, open_one, vote(decision="REQUEST_MORE_TESTS"), now())
    decide(desk.engine, open_one, vote(), now())
    decide(desk.engine, closed_one, vote(decision="REJECT"), now())
    with pytest.raises(DecisionConflictError, match="is REJECTED"):
        decide(desk.engine, closed_one, vote(), now())


def test_production_that_changed_since_l4_asks_for_a_new_backtest(desk):
    waiting = desk.propose("two", 2)
    decide(desk.engine, desk.propose("one", 1), vote(), now())
    with pytest.raises(DecisionConflictError, match=r"compared with None, but production is now one_"):
        decide(desk.engine, waiting, vote(), now())
    assert desk.proposal(waiting).status == "PENDING_APPROVAL"


def test_a_newer_proposal_supersedes_the_experiment_s_open_one(desk):
    old, _ = desk.propose("one", 1), desk.propose("one", 2)
    with pytest.raises(DecisionConflictError, match="is SUPERSEDED"):
        decide(desk.engine, old, vote(), now())


def test_a_proposal_expires_after_thirty_days(desk):
    proposal_id = desk.propose("one", 1)
    with pytest.raises(DecisionConflictError, match="is EXPIRED"):
        decide(desk.engine, proposal_id, vote(), now() + timedelta(days=30, seconds=1))
    assert desk.proposal(proposal_id).status == "EXPIRED"


def test_an_unknown_proposal_is_said_to_be_unknown(desk):
    with pytest.raises(UnknownProposalError, match="proposal 77 does not exist"):
        decide(desk.engine, 77, vote(), now())


def test_a_bundle_edited_since_l4_is_not_approved(desk):
    proposal_id = desk.propose("one", 1)
    with reading(desk.engine) as connection:
        folder = get_model(connection, desk.proposal(proposal_id).model_id).model_path
    norm_stats = desk.root / folder / "norm_stats.json"
    norm_stats.write_text(norm_stats.read_text().replace("1.0", "1.5", 1))
    with pytest.raises(BundleError, match=r"norm_stats\.json: expected SHA-256"):
        decide(desk.engine, proposal_id, vote(), now())
    assert untouched(desk, proposal_id)


@pytest.mark.parametrize("damage", [lambda path: path.write_text("{}"), lambda path: path.unlink()])
def test_reports_edited_or_removed_since_l4_are_not_approved(desk, damage):
    proposal_id = desk.propose("one", 1)
    damage(desk.report(proposal_id))
    with pytest.raises(LineageError, match=r"backtest_results_one\.json: (altered|missing)"):
        decide(desk.engine, proposal_id, vote(), now())
    assert untouched(desk, proposal_id)


@pytest.mark.parametrize("step", ["_set_stage", "_close", "append_audit_row"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_fault_at_any_step_leaves_all_as_it_was_and_a_retry_completes(desk, monkeypatch, step, when):
    current = decide(desk.engine, desk.propose("one", 1), vote(), now())
    proposal_id = desk.propose("two", 2, baseline_model_id=current.model_id)
    before = (desk.stages(), desk.votes(), desk.proposal(proposal_id))
    module = transaction if step == "append_audit_row" else decision
    original = getattr(module, step)

    def failing(*arguments):
        if when == "after":
            original(*arguments)
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(module, step, failing)
        with pytest.raises(OSError, match="disk full"):
            decide(desk.engine, proposal_id, vote(), now())
    assert (desk.stages(), desk.votes(), desk.proposal(proposal_id)) == before
    assert decide(desk.engine, proposal_id, vote(), now()).new_stage == "production"


def test_the_audit_log_refuses_changes_and_shows_those_made_around_it(desk):
    for number in range(3):
        decide(desk.engine, desk.propose(f"e{number}", number + 1), vote(decision="REJECT"), now())
    with pytest.raises(Exception, match="append-only"), writing(desk.engine) as connection:
        connection.execute(update(approval_audit_log).values(reviewer="mallory"))
    with reading(desk.engine) as connection:
        rows = read_chain(connection)
    assert find_breaks(rows) == []
    edited = rows[1]._replace(reviewer="mallory")
    assert find_breaks([rows[0], edited, rows[2]]) == ["row 2: its content was changed"]
    assert find_breaks([rows[0], rows[2]]) == ["row 2 is missing: the next one stored is 3"]
    assert find_breaks(rows[:1]) == []
    with reading(desk.engine) as connection:
        assert connection.execute(select(func.count()).select_from(approval_audit_log)).scalar() == 3
        assert len(read_audit_log(connection)) == 3
