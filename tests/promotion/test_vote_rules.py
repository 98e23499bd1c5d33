"""What a vote's reason must be, and what a person's REJECT closes."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from dosvotos.audit.log import append_audit_row
from dosvotos.database.connection import reading, writing
from dosvotos.database.registry import get_model
from dosvotos.errors import DecisionError
from dosvotos.plain_text import check_name
from dosvotos.promotion.notices import notices_of, votes_on
from dosvotos.promotion.reasons import sentence
from dosvotos.promotion.vote_rules import (
    EarlierVote,
    ModelStage,
    check_reason,
    closes,
    closing_vote,
    columns_after,
    earlier_votes,
    is_partial,
    last_decision,
    rejected_before,
    reopened_at,
    status_after,
)
from tests.proposal_fixtures import Desk, open_desk

NOW = datetime(2026, 8, 3, 15, tzinfo=UTC)
GOOD = "Equity and costs were read in full."


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_desk(f"sqlite:///{tmp_path}/dosvotos.db", tmp_path) as desk:
        yield desk


def vote(desk: Desk, proposal_id: int, action: str, at: datetime = NOW) -> None:
    about = {"model_id": desk.proposal(proposal_id).model_id, "proposal_id": proposal_id}
    append(desk, action, at, **about, new_stage="staging")


def append(desk: Desk, action: str, at: datetime, **columns: object) -> None:
    with writing(desk.engine) as connection:
        entry = {
            "action": action, "reviewer": "bob", "notes": GOOD, "previous_production_model": None,
            "self_approved": False, "epoch": 0, **columns,
        }  # fmt: skip
        append_audit_row(connection, entry, at)


@pytest.mark.parametrize("decision", ["APPROVE", "REJECT"])
@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", "had 0"),
        ("x" * 19, "reason: {} needs at least 20 characters, had 19"),
        (" " * 40 + "x" * 19 + "\n" * 9, "had 19"),
        ("x" * 4_001, "at most 4000 characters, were 4001"),
    ],
)
def test_a_vote_needs_a_reason(decision, reason, said):
    with pytest.raises(DecisionError, match=said.format(decision)):
        check_reason(decision, reason)


def test_a_request_needs_no_reason_and_a_reason_may_be_of_any_language():
    check_reason("REQUEST_MORE_TESTS", "")
    check_reason("APPROVE", "x" * 20)
    check_reason("APPROVE", "x" * 4_000)
    check_reason("REJECT", "Rechazado: la caída de 14,9 % está\n\tdemasiado cerca. 👩‍🔬 می‌خواهم")


HIDDEN = {
    "\x00": "U+0000 NUL", "\x07": "U+0007 BEL", "\x1b": "U+001B ESC", "\r": "U+000D CARRIAGE RETURN",
    "\x7f": "U+007F DELETE", "\x9b": "U+009B a control character",
    "\u200e": "U+200E LEFT-TO-RIGHT MARK", "\u200f": "U+200F RIGHT-TO-LEFT MARK",
    "\u061c": "U+061C ARABIC LETTER MARK", "\u200b": "U+200B ZERO WIDTH SPACE",
    "\ufeff": "U+FEFF ZERO WIDTH NO-BREAK SPACE", "\u2028": "U+2028 LINE SEPARATOR",
    "\ud800": "U+D800 a control character", "\U000e0041": "U+E0041 TAG LATIN CAPITAL LETTER A",
    **{chr(code): f"U+{code:04X} " for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}  # fmt: skip


@pytest.mark.parametrize("character", HIDDEN)
def test_a_character_that_does_not_show_is_refused_by_name(character):
    for decision in ("APPROVE", "REJECT", "REQUEST_MORE_TESTS"):
        with pytest.raises(DecisionError) as refused:
            check_reason(decision, GOOD + character)
        assert f"found {HIDDEN[character]}" in str(refused.value) and "at character 36" in str(refused.value)
        assert character not in str(refused.value)
    with pytest.raises(ValueError, match="one line only"):
        check_name(f"ana{character}")


def test_a_name_has_no_line_feed_and_may_have_accents():
    with pytest.raises(ValueError, match=r"U\+000A LINE FEED at character 4"):
        check_name("ana\n@desk")
    assert check_name("José Ñuñez <jose@desk>") == "José Ñuñez <jose@desk>"


def of(*actions: str) -> list[EarlierVote]:
    about = {"experiment_name": "demo", "model_id": "m", "reviewer": "bob", "notes": GOOD}
    after = {"new_stage": "staging", "self_approved": False, "created_at": NOW}
    return [
        EarlierVote(id=n, proposal_id=n, action=action, **about, **after)
        for n, action in enumerate(actions, start=1)
    ]


@pytest.mark.parametrize(
    ("actions", "closing"),
    [
        ((), None),
        (("APPROVE", "REQUEST_MORE_TESTS"), None),
        (("REJECT",), 1),
        (("REJECT", "APPROVE"), 1),
        (("REJECT", "REOPEN"), None),
        (("REJECT", "REOPEN", "REJECT"), 3),
        (("REJECT", "REJECT"), 2),
    ],
)
def test_a_rejection_closes_until_it_is_reopened(actions, closing):
    found = closing_vote(of(*actions))
    assert (found and found.id) == closing


def test_the_same_weights_are_one_model_under_any_name_and_other_weights_are_not(desk: Desk):
    first = desk.propose("demo", seed=1)
    vote(desk, first, "REJECT")
    renamed, other = desk.propose("renamed", seed=1), desk.propose("other", seed=2)
    with reading(desk.engine) as connection:
        (seen,) = votes_on(connection, desk.proposal(renamed))
        assert (seen.action, seen.proposal_id, seen.experiment_name) == ("REJECT", first, "demo")
        assert votes_on(connection, desk.proposal(other)) == ()
        model = get_model(connection, desk.proposal(renamed).model_id)
        hashes = (model.manifest_hash, model.model_hash)
        assert earlier_votes(connection, hashes[0], "f" * 64, "USD/COP.SIM") == (seen,)
        assert earlier_votes(connection, "f" * 64, hashes[1], "USD/COP.SIM") == (seen,)
        assert earlier_votes(connection, *hashes, "USD/COP") == ()


def test_a_proposal_of_a_rejected_model_says_who_rejected_it_when_and_where(desk: Desk):
    first = desk.propose("demo", seed=1)
    vote(desk, first, "REJECT")
    renamed = desk.propose("renamed", seed=1)
    with reading(desk.engine) as connection:
        (notice,) = notices_of(connection, desk.proposal(renamed))
        assert notices_of(connection, desk.proposal(first)) == ()
        assert notice == rejected_before(votes_on(connection, desk.proposal(first))[0])
    assert notice.figures == {"proposal": first, "date": "2026-08-03", "reviewer": "bob"}
    assert sentence(notice) == (
        "bob rejected this model on 2026-08-03 (proposal 1); it stays closed under any name, version or "
        "window"
    )


# ---- what follows from the log's rows

LATER, LAST = NOW + timedelta(days=1), NOW + timedelta(days=2)


def row(action: str, **columns: object) -> SimpleNamespace:
    about = {"model_id": "m", "new_stage": "staging", "approvals": None, "quorum": None}
    said = {"reviewer": "ana", "notes": GOOD, "created_at": NOW}
    return SimpleNamespace(action=action, **{**about, **said, **columns})


@pytest.mark.parametrize(
    ("action", "approvals", "quorum", "status", "closing"),
    [
        ("APPROVE", None, None, "APPROVED", True),  # from before there were quorums
        ("APPROVE", 1, 2, "PENDING_APPROVAL", False),
        ("APPROVE", 2, 2, "APPROVED", True),
        ("REJECT", None, None, "REJECTED", True),
        ("REJECT", 1, 2, "REJECTED", True),
        ("REQUEST_MORE_TESTS", None, None, "MORE_TESTS_REQUESTED", False),
        ("REOPEN", None, None, "PENDING_APPROVAL", False),
    ],
)
def test_a_proposal_s_status_and_columns_follow_from_its_last_vote(
    action, approvals, quorum, status, closing
):
    vote = row(action, approvals=approvals, quorum=quorum)
    partial = action == "APPROVE" and status == "PENDING_APPROVAL"
    assert (status_after(vote), closes(vote), is_partial(vote)) == (status, closing, partial)
    decided = status != "PENDING_APPROVAL"
    assert columns_after(vote, LATER) == {
        "status": status,
        "reviewer": "ana" if decided else None,
        "reviewer_notes": GOOD if decided else None,
        "approved_at": NOW if status == "APPROVED" else None,
        "reopened_at": LATER,
    }
    waiting = columns_after(None)
    assert waiting == columns_after(row("RESTORE"))
    assert waiting.pop("status") == "PENDING_APPROVAL" and set(waiting.values()) == {None}


def test_a_model_s_stage_follows_what_promotes_it_replaces_it_and_restores_the_log():
    promoted = ModelStage().after(row("APPROVE", new_stage="production"), "m")
    assert promoted == ModelStage("production", NOW, None)
    replaced = promoted.after(row("APPROVE", model_id="n", new_stage="production", created_at=LATER), "m")
    assert replaced == ModelStage("archived", NOW, LATER)
    rolled_back = replaced.after(row("ROLLBACK", new_stage="production", created_at=LAST), "m")
    assert rolled_back == ModelStage("production", LAST, LATER)
    shadow = promoted.after(row("APPROVE", new_stage="shadow", created_at=LATER), "m")
    assert shadow == ModelStage("shadow", NOW, None)
    assert promoted.restored() == ModelStage("staging", NOW, None)
    assert (replaced.restored(), shadow.restored()) == (replaced, shadow)


def test_the_last_decision_on_a_proposal_is_its_newest_row_or_a_restore_that_reopened_it(desk: Desk):
    one, two = desk.propose("one", seed=1), desk.propose("two", seed=2)

    def last(proposal_id: int) -> tuple[str | None, datetime | None]:
        with reading(desk.engine) as connection:
            found = last_decision(connection, proposal_id)
            return found and found.action, reopened_at(connection, proposal_id)

    assert last(one) == (None, None)
    vote(desk, one, "REQUEST_MORE_TESTS")
    vote(desk, one, "REJECT")
    vote(desk, two, "REJECT")
    assert last(one) == last(two) == ("REJECT", None)
    vote(desk, one, "REOPEN", NOW)
    vote(desk, one, "REOPEN", LATER)
    assert last(one) == ("REOPEN", LATER) and last(two) == ("REJECT", None)
    append(desk, "RESTORE", LAST, subject={"reopened": [one]})
    append(desk, "RESTORE", LAST + timedelta(days=1), subject={"reopened": []})
    assert last(one) == ("RESTORE", LAST) and last(two) == ("REJECT", None)
    vote(desk, one, "REJECT", LAST + timedelta(days=2))
    assert last(one) == ("REJECT", LAST)
    append(desk, "RESTORE", LAST + timedelta(days=3), subject={"reopened": [one, two]})
    assert last(one) == last(two) == ("RESTORE", LAST + timedelta(days=3))
    vote(desk, two, "REOPEN", LAST + timedelta(days=4))
    assert last(two) == ("REOPEN", LAST + timedelta(days=4))


def test_votes_on_a_model_come_oldest_first(desk: Desk):
    first, again = desk.propose("demo", seed=1), desk.propose("again", seed=1)
    for proposal_id, action in ((again, "REJECT"), (first, "REOPEN"), (again, "REJECT")):
        vote(desk, proposal_id, action)
    with reading(desk.engine) as connection:
        votes = votes_on(connection, desk.proposal(first))
    assert [(one.id, one.proposal_id, one.experiment_name) for one in votes] == [
        (1, again, "again"),
        (2, first, "demo"),
        (3, again, "again"),
    ]
