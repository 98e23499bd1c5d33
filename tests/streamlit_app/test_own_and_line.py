"""What the app and its API say of a strategy of one's own and of a walk-forward line."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from dosvotos.promotion.reasons import Reason, sentence
from streamlit_app.i18n import LANGUAGES, Translator
from tests.proposal_fixtures import NOTES, Desk
from tests.recomputable_proposals import propose_line, propose_own
from tests.streamlit_app.pages import page_text
from tests.streamlit_app.test_api import assert_problem

pytestmark = pytest.mark.slow
RULE = "def targets(features):\n    return (features['time_normalized'] > 0.5) * 2 - 1\n"
OWN = Reason(code="cannot_be_served", figures={"targets": "my_rule:targets"})
LINE = Reason(code="about_the_method", figures={"folds": 2})


@pytest.fixture
def proposals(desk: Desk) -> tuple[int, int]:
    """An own strategy's proposal, and a line's."""
    now = datetime.now(UTC)
    own = propose_own(desk.engine, desk.root, RULE, now=now)
    return own, propose_line(desk.engine, desk.root, now=now)


def test_every_page_says_what_is_no_single_trained_model_and_offers_no_approval_of_an_own_strategy(
    proposals: tuple[int, int], open_page: Callable[..., AppTest]
):
    own, line = proposals
    for language in LANGUAGES:
        t = Translator(language)
        shown = page_text(open_page("proposals", language))
        assert sentence(OWN, language) in shown and sentence(LINE, language) in shown
        review = open_page("review", language, own)
        assert sentence(OWN, language) in page_text(review)
        assert t("vote.own") in [error.value for error in review.error] and not review.date_input
        labels = [button.label for button in review.button]
        assert labels == [t("action.reject")]
        review = open_page("review", language, line)
        assert sentence(LINE, language) in page_text(review)
        assert sentence(OWN, language) not in page_text(review)
        kinds = open_page("models", language).dataframe[0].value[t("column.kind")].tolist()
        assert kinds == [t("models.line", folds=2), t("models.own", targets="my_rule:targets")]


def test_the_api_tells_kinds_apart_refuses_to_approve_an_own_strategy_and_lets_a_person_reject_it(
    proposals: tuple[int, int], client
):
    own, line = proposals
    kinds = {row["id"]: row["kind"] for row in client.get("/api/experiments").json()}
    assert (kinds[own], kinds[line]) == ("own_strategy", "line")
    notices = client.get(f"/api/experiments/{own}").json()["notices"]
    assert [(notice["code"], notice["text"]) for notice in notices] == [(OWN.code, sentence(OWN))]
    vote = {"decision": "APPROVE", "notes": NOTES}
    answer = client.post(f"/api/experiments/{own}/approve", json=vote)
    assert "my_rule:targets cannot be served" in assert_problem(answer, answer.status_code)["detail"]
    assert 400 <= answer.status_code < 500
    period = {"start_date": "2025-07-01", "end_date": "2025-07-08"}
    answer = client.post(f"/api/experiments/{own}/backtest", json=period)
    assert "no worker runs my_rule:targets" in assert_problem(answer, answer.status_code)["detail"]
    answer = client.post(f"/api/experiments/{own}/approve", json={**vote, "decision": "REJECT"})
    assert answer.json()["new_stage"] == "staging"
    assert client.get(f"/api/experiments/{own}").json()["status"] == "REJECTED"
