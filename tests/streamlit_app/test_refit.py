"""What the app and its API say of a refit, and that neither offers it production."""

from datetime import UTC, datetime

import pytest

from dosvotos.database.connection import reading
from dosvotos.lineage.vote import decide_verified
from dosvotos.promotion.decision import Vote
from dosvotos.promotion.gate_policy import current_policy
from dosvotos.promotion.house_acts import SetPolicy
from dosvotos.promotion.reasons import Reason, sentence
from dosvotos.promotion.transaction import carry_out
from streamlit_app.desk.acts import Wanted, offers_production
from streamlit_app.i18n import LANGUAGES, Translator
from tests.proposal_fixtures import NOTES, Desk
from tests.recomputable_proposals import propose_refit
from tests.streamlit_app.pages import page_text, press
from tests.streamlit_app.test_api import assert_problem

pytestmark = pytest.mark.slow


@pytest.fixture
def refit(desk: Desk) -> int:
    """A refit of the model in production, which the policy does not let run."""
    now = datetime.now(UTC)
    decide_verified(desk.engine, desk.propose_recomputable(), Vote("APPROVE", "alice", NOTES), now)
    return propose_refit(desk.engine, desk.root, now=now)


def test_pages_and_api_show_no_figure_of_a_refit_and_offer_shadow_alone(refit: int, open_page, client, desk):
    model = desk.proposal(1).model_id
    for language in LANGUAGES:
        t = Translator(language)
        assert t("review.untested") in page_text(open_page("proposals", language))
        review = open_page("review", language, refit)
        shown = page_text(review)
        assert t("review.untested") in shown and model in shown
        assert sentence(Reason(code="refit_barred"), language) in shown
        assert t("vote.barred") in [error.value for error in review.error] and not review.exception
        assert (
            t("models.refit", model=model)
            in open_page("models", language).dataframe[0].value[t("column.kind")].tolist()
        )
    detail = client.get(f"/api/experiments/{refit}").json()
    assert (detail["kind"], detail["metrics"], detail["evidence"]) == ("refit", {}, {})
    assert detail["backtest_results"] is detail["report_problem"] is None
    with reading(desk.engine) as connection:
        policy = current_policy(connection)
    changed = SetPolicy(NOTES, policy.model_copy(update={"refit_to_shadow": True}))
    carry_out(desk.engine, changed, "alice", datetime.now(UTC))
    vote = {"decision": "APPROVE", "notes": NOTES}
    refused = assert_problem(client.post(f"/api/experiments/{refit}/approve", json=vote), 422)
    assert "can be approved to shadow only" in refused["detail"]
    assert not offers_production(desk.engine, Wanted(action="APPROVE", about=str(refit)))
    t = Translator("en")
    review = press(open_page("review", "en", refit), t("action.approve"))
    assert [radio.options for radio in review.radio] == [[t("vote.to_shadow")]]
    for section in ("lineage", "votes"):
        assert not open_page("review", "en", refit, section=section).exception
    answer = client.post(f"/api/experiments/{refit}/approve", json=vote | {"promote_to_production": False})
    assert answer.json()["new_stage"] == "shadow"
