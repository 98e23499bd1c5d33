"""What people are told, and when: in one transaction with what it is about, in nobody else's words."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2.utils import urlize
from markdown_it import MarkdownIt
from markupsafe import escape

from dosvotos.database.connection import reading
from dosvotos.database.outbox import waiting_messages
from dosvotos.database.registry import VALID_FOR
from dosvotos.errors import DosVotosError
from dosvotos.plain_text import inert
from dosvotos.promotion.decision import Vote, decide
from dosvotos.promotion.live_acts import SwitchSignals
from dosvotos.promotion.notify import NOTIFICATION, WARNS_BEFORE, Notification, announce_expiring, write_text
from dosvotos.promotion.registration import ProposalRegistry
from dosvotos.promotion.transaction import carry_out
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.team import WHY, Team

NOW = datetime.now(UTC)


@pytest.fixture
def desk(engine, tmp_path, monkeypatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(engine, tmp_path)


def told(desk: Desk) -> list[str]:
    """The headlines that wait, oldest first."""
    with reading(desk.engine) as connection:
        rows = waiting_messages(connection, kinds=(NOTIFICATION,))
    return [write_text(Notification.model_validate(row.payload)).headline for row in rows]


def register(desk: Desk, experiment: str, seed: int, **changes: object) -> int:
    registry = ProposalRegistry(desk.engine, INSTRUMENT, "data/08_reporting/reports")
    new = desk.made_up(experiment, seed, **changes)
    registry.store(new)
    return int(registry.latest(new.proposal.model_id).id)


def test_a_proposal_and_each_decision_are_told_with_the_specification_s_words(desk):
    proposal_id = register(desk, "demo", 1)
    for decision in ("REQUEST_MORE_TESTS", "APPROVE"):
        decide(desk.engine, proposal_id, Vote(decision, "bob", WHY), NOW)
    for action in ("HALT", "RESUME"):
        carry_out(desk.engine, SwitchSignals(action, INSTRUMENT, WHY), "bob", NOW)
    assert told(desk) == [
        "[SIM] New model ready for review: demo",
        "[SIM] Extra backtests requested by bob",
        "[SIM] Model promoted to production by bob",
        f"[SIM] Signals halted by bob: {INSTRUMENT}",
        f"[SIM] Signals resumed by bob: {INSTRUMENT}",
    ]
    with reading(desk.engine) as connection:
        first, _, approved, *_ = waiting_messages(connection, kinds=(NOTIFICATION,))
    ready = write_text(Notification.model_validate(first.payload), "https://votes.example.com")
    assert "L4 recommends PROMOTE" in ready.body
    assert ready.body.endswith(f"https://votes.example.com/review?id={proposal_id}")
    assert Notification.model_validate(approved.payload).note == WHY


def test_the_same_proposal_again_a_refused_vote_and_a_repeated_request_tell_nothing(desk):
    proposal_id = register(desk, "demo", 1)
    register(desk, "demo", 1)
    with pytest.raises(DosVotosError, match="REJECT needs at least"):
        decide(desk.engine, proposal_id, Vote("REJECT", "bob", "no"), NOW)
    for _ in range(2):
        decide(desk.engine, proposal_id, Vote("REJECT", "bob", WHY), NOW, key="one request")
    with pytest.raises(DosVotosError, match="can no longer be voted on"):
        decide(desk.engine, proposal_id, Vote("APPROVE", "bob", WHY), NOW)
    assert told(desk) == ["[SIM] New model ready for review: demo", "[SIM] Model rejected by bob"]


def test_a_quorum_an_override_and_a_model_that_is_closed_are_named(desk):
    team = Team(desk.engine).begin()
    assert told(desk)[0] == "ada added by ada"
    closed = register(desk, "demo", 1)
    team.vote(closed, "ana", "REJECT")
    register(desk, "other", 1)
    assert told(desk)[-1] == "[SIM] New proposal of a model that was rejected: other"
    team.vote(register(desk, "third", 3, recommendation="REVIEW"), "ben")
    with reading(desk.engine) as connection:
        last = waiting_messages(connection, kinds=(NOTIFICATION,))[-1]
    assert Notification.model_validate(last.payload).note == f"(overrides L4's REVIEW) {WHY}"


def test_proposals_that_expire_are_told_once_and_again_after_a_reopening(desk):
    proposal_id = register(desk, "demo", 1)
    before, soon = NOW + VALID_FOR - WARNS_BEFORE - timedelta(hours=1), NOW + VALID_FOR - timedelta(hours=1)
    for moment in (before, soon, soon):
        announce_expiring(desk.engine, moment)
        expected = 0 if moment == before else 1
        assert sum("expires on" in headline for headline in told(desk)) == expected
    desk.change(proposal_id, reopened_at=soon + timedelta(minutes=1))
    announce_expiring(desk.engine, soon + timedelta(hours=2))
    announce_expiring(desk.engine, soon + VALID_FOR - timedelta(hours=1))
    assert sum("expires on" in headline for headline in told(desk)) == 2


def test_an_action_that_has_no_headline_of_its_own_is_named():
    assert write_text(Notification(event="SOMETHING_NEW", person="ana")).headline == "Something new by ana"
    assert write_text(Notification(event="HALT")).headline == "Signals halted by -: -"


HOSTILE = (
    "see https://evil.com/a?b#c", "www.evil.com", "evil.com", "EVIL.CO/x", "mailto:ana@evil.com",
    "tel:+57300",
    "[a](http://evil.com)", "![a](http://evil.com/i.png)", "<http://evil.com>", "<!channel>", "@everyone",
    "<@U123>", "#general", "/stop", "$USDT", "http://10.0.0.1/x", "10.0.0.1", "evil\u3002com",
    "\uff20everyone",
    "h\u200bttp://evil.com", "a\nb@c.org", "\u202emoc.live//:ptth", "javascript:alert(1)", "[a]: http://evil.com",
)  # fmt: skip


@pytest.mark.parametrize("words", HOSTILE)
def test_somebody_s_words_stay_words(words):
    check_inert(words)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*HOSTILE, *"abc.:/@<>[]()!# \n", "com", "http", "ñ"]), max_size=8).map("".join)
)
def test_no_composition_of_them_is_a_link_a_mention_or_an_image(words):
    check_inert(words)


def check_inert(words: str) -> None:
    """By two judges that are not ours: Jinja's urlize, which finds bare addresses, and a Markdown parser."""
    shown = inert(words, 300)
    assert urlize(shown) == str(escape(shown))
    tokens = [child.type for token in MarkdownIt().parse(shown) for child in token.children or ()]
    assert not {"link_open", "image", "html_inline"} & set(tokens), shown
    assert not set("@<>[]#$\n") & set(shown)


def test_numbers_times_and_sentences_are_left_as_they_are():
    said = "Sharpe 1.92 at 10:30, version 1.0.0; drawdown 5.3% (6.9%). Two desks: one vote!"
    assert inert(said, 300) == said
    assert inert("a" * 301, 300) == "a" * 299 + "\u2026"
