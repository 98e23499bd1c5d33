"""The second vote on its page: three actions, what they say and what they refuse."""

from datetime import UTC, datetime, timedelta

import pytest

from streamlit_app.i18n import LANGUAGES, Translator
from tests.proposal_fixtures import NOTES, Desk
from tests.streamlit_app.pages import HOSTILE, assert_plain, page_text, press, vote

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("target", "stage"), [("to_production", "production"), ("to_shadow", "shadow")])
def test_an_approval_takes_two_steps(open_page, desk: Desk, target: str, stage: str):
    at, t = open_page("review", proposal_id=desk.propose()), Translator("en")
    assert not at.text_area
    press(at, "APPROVE")
    at.text_area[0].input(NOTES)
    at.radio[0].set_value(target)
    press(at, t("vote.approve"))
    assert desk.votes() == []
    assert t(f"vote.confirm_{stage}") in page_text(at)
    press(at, t("vote.confirm"))
    assert list(desk.stages().values()) == [stage]
    assert t(f"vote.done_{stage}") in page_text(at)
    assert t("status.APPROVED") in page_text(at)
    assert not at.text_area and not [button for button in at.button if button.label == "APPROVE"]
    assert [(v.action, v.reviewer, v.self_approved) for v in desk.votes()] == [("APPROVE", "alice", True)]
    assert "self_approved" in page_text(at) and NOTES in [element.value for element in at.text]


def test_an_approval_can_be_cancelled(open_page, desk: Desk):
    at, t = open_page("review", proposal_id=desk.propose(), action="approve"), Translator("en")
    at.text_area[0].input(NOTES)
    at.radio[0].set_value("to_shadow")
    press(at, t("vote.approve"))
    assert not at.text_area
    press(at, t("vote.cancel"))
    assert desk.votes() == []
    assert (at.text_area[0].value, at.radio[0].value) == (NOTES, "to_shadow")
    press(at, t("action.close"))
    assert not at.text_area


def test_a_rejection_says_what_it_changes_and_names_the_way_back(open_page, desk: Desk):
    at, t = open_page("review", proposal_id=desk.propose()), Translator("en")
    press(at, "REJECT")
    assert t("vote.reject_changes") in page_text(at) and "dosvotos reopen 1" in page_text(at)
    at.text_area[0].input(NOTES)
    press(at, t("vote.reject"))
    assert t("vote.done_rejected") in page_text(at) and "dosvotos reopen 1" in page_text(at)
    assert [v.notes for v in desk.votes()] == [NOTES]
    assert list(desk.stages().values()) == ["staging"]


def test_a_veto_offers_no_approval(open_page, desk: Desk):
    proposal_id, t = desk.propose(recommendation="REJECT"), Translator("en")
    at = open_page("review", proposal_id=proposal_id)
    assert t("vote.veto") in page_text(at)
    assert [button.label for button in at.button] == ["REJECT", "REQUEST MORE TESTS"]
    at = open_page("review", proposal_id=proposal_id, action="approve")
    assert not at.text_area


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_vote_wants_its_reason(open_page, desk: Desk, language: str):
    t = Translator(language)
    at = open_page("review", language, desk.propose(recommendation="REVIEW"))
    for action in ("approve", "reject"):
        press(at, t(f"action.{action}"))
        at.text_area[0].input("too short")
        press(at, t(f"vote.{action}"))
        assert t("vote.notes_short", minimum=20, found=9) in page_text(at)
    at.text_area[0].input(f"{NOTES} \x07")
    press(at, t("vote.reject"))
    found = {"en": "found U+0007 BEL at character 39", "es": "se encontró U+0007 BEL en el carácter 39"}
    assert found[language] in page_text(at)
    assert desk.votes() == []
    press(at, t("action.approve"))
    at.text_area[0].input("the improvement is small but steady")
    press(at, t("vote.approve"))
    press(at, t("vote.confirm"))
    assert list(desk.stages().values()) == ["production"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_model_that_a_person_rejected_says_so_under_its_next_name(open_page, desk: Desk, language: str):
    first = desk.propose("demo", seed=1)
    vote(desk, first, "REJECT")
    at, t = open_page("review", language, desk.propose("renamed", seed=1)), Translator(language)
    assert t("review.notices") in page_text(at)
    assert f"({'proposal' if language == 'en' else 'propuesta'} {first})" in page_text(at)
    votes = page_text(open_page("review", language, first + 1, section="votes"))
    assert t("review.other", id=first, experiment="demo") in votes and NOTES in votes


def test_a_vote_that_came_too_late_is_told_so(open_page, desk: Desk):
    proposal_id = desk.propose()
    at, t = open_page("review", proposal_id=proposal_id, action="reject"), Translator("en")
    vote(desk, proposal_id, "REJECT")
    at.text_area[0].input(NOTES)
    press(at, t("vote.reject"))
    told = t("vote.changed", state=t("status.REJECTED"), production=t("vote.no_production"))
    assert t("vote.conflict") in page_text(at) and told in page_text(at)
    assert len(desk.votes()) == 1


def test_a_stale_page_approves_nothing_that_has_changed(open_page, desk: Desk):
    proposal_id, t = desk.propose(), Translator("en")
    at = open_page("review", proposal_id=proposal_id, action="approve")
    at.text_area[0].input(NOTES)
    press(at, t("vote.approve"))
    vote(desk, proposal_id, "REQUEST_MORE_TESTS")  # it can still be voted on, but not as the page shows it
    press(at, t("vote.confirm"))
    state, none = t("status.MORE_TESTS_REQUESTED"), t("vote.no_production")
    assert t("vote.changed", state=state, production=none) in page_text(at)
    assert [v.action for v in desk.votes()] == ["REQUEST_MORE_TESTS"]
    at.text_area[0].input(NOTES)
    press(at, t("vote.approve"))
    press(at, t("vote.confirm"))
    assert list(desk.stages().values()) == ["production"]


def test_a_model_that_changed_is_told_so(open_page, desk: Desk):
    at, t = open_page("review", proposal_id=desk.propose(), action="approve"), Translator("en")
    next(desk.root.glob("data/06_models/*/policy.safetensors")).unlink()
    at.text_area[0].input(NOTES)
    press(at, t("vote.approve"))
    press(at, t("vote.confirm"))
    assert t("vote.altered_model") in page_text(at)
    assert desk.votes() == []


def test_an_expired_and_a_superseded_proposal_cannot_be_voted_on(open_page, desk: Desk):
    old = desk.propose("old", 1, created_at=datetime.now(UTC) - timedelta(days=31))
    replaced = desk.propose("new", 2)
    desk.propose("new", 3)
    t = Translator("en")
    for proposal_id, message in ((old, t("review.expired", days=30)), (replaced, t("review.superseded"))):
        at = open_page("review", proposal_id=proposal_id)
        assert message in page_text(at)
        assert not at.text_area and not at.button


def test_hostile_names_in_the_confirmation_are_plain_text(open_page, desk: Desk):
    first = desk.propose("one", 1)
    vote(desk, first, "APPROVE")
    second = desk.propose("two", 2, baseline_model_id=desk.proposal(first).model_id)
    at = open_page("review", proposal_id=second, action="approve")
    at.text_area[0].input(HOSTILE)
    press(at, Translator("en")("vote.approve"))
    assert_plain(at)
    assert f"{desk.proposal(first).model_id} will be archived." in page_text(at)
    press(at, Translator("en")("vote.confirm"))
    assert_plain(at)


def test_a_second_click_on_confirm_is_a_conflict_not_a_second_vote(open_page, desk: Desk):
    proposal_id = desk.propose()
    at, t = open_page("review", proposal_id=proposal_id, action="approve"), Translator("en")
    at.text_area[0].input(NOTES)
    press(at, t("vote.approve"))
    vote(desk, proposal_id, "APPROVE")
    press(at, t("vote.confirm"))
    assert t("vote.conflict") in page_text(at)
    assert len(desk.votes()) == 1
