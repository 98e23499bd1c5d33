"""Extra backtests over REST and on the review page."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from dosvotos.commands.jobs import run_queued
from dosvotos.database.connection import writing
from dosvotos.database.tables import model_registry
from dosvotos.promotion.extra_backtests import _gaps
from dosvotos.reports.metrics import METRICS
from streamlit_app.i18n import LANGUAGES, Translator
from tests.proposal_fixtures import NOTES, Desk
from tests.streamlit_app.pages import page_text, press, vote
from tests.streamlit_app.test_api import assert_problem

pytestmark = pytest.mark.slow

UNSEEN = {"start_date": "2025-07-01", "end_date": "2025-07-08"}
SEEN = {"start_date": "2025-06-24", "end_date": "2025-07-08"}


def ask(client: Any, proposal_id: int, period: dict[str, str] = UNSEEN) -> Any:
    return client.post(f"/api/experiments/{proposal_id}/backtest", json=period)


def work(desk: Desk) -> None:
    run_queued(desk.engine, lambda _: None)


def test_an_extra_backtest_is_asked_for_run_and_read(client, any_desk: Desk):
    proposal_id = any_desk.propose(seed=2)
    asked = ask(client, proposal_id)
    assert (asked.status_code, asked.json()) == (202, {"backtest_id": 1, "status": "queued"})
    assert ask(client, proposal_id).json()["backtest_id"] == 1
    waiting = client.get("/api/backtests/1").json()
    assert (waiting["status"], waiting["backtest_results"], waiting["requested_by"]) == (
        "queued",
        None,
        "alice",
    )
    work(any_desk)
    done = client.get("/api/backtests/1").json()
    assert (done["status"], done["sample"], done["trouble"]) == ("done", "OUT-OF-SAMPLE", None)
    assert done["metrics"]["total_trades"] == len(done["backtest_results"]["trades"]) > 0
    assert done["backtest_results"]["sample"] == "OUT-OF-SAMPLE"
    assert len(done["backtest_results"]["equity_curve"]) == 6 * 60


def test_what_the_model_has_seen_is_in_sample_wherever_it_shows(client, any_desk: Desk):
    ask(client, any_desk.propose(), SEEN)
    assert client.get("/api/backtests/1").json()["sample"] == "IN-SAMPLE"
    work(any_desk)
    done = client.get("/api/backtests/1").json()
    assert done["sample"] == done["backtest_results"]["sample"] == "IN-SAMPLE"


@pytest.mark.parametrize(
    ("period", "detail"),
    [
        ({"start_date": "2025-07-08", "end_date": "2025-07-01"}, "before it starts"),
        ({"start_date": "2019-07-01", "end_date": "2025-07-08"}, "goes beyond"),
        ({"start_date": "yesterday", "end_date": "2025-07-08"}, "start_date"),
        ({"start_date": "2025-07-01"}, "end_date"),
        ({**UNSEEN, "reviewer": "eve"}, "reviewer"),
    ],
)
def test_a_period_that_cannot_be_tested_is_a_problem(client, desk: Desk, period, detail):
    assert detail in assert_problem(ask(client, desk.propose(), period), 422)["detail"]


def test_unknown_and_closed_ones_are_problems(client, desk: Desk):
    assert_problem(ask(client, 99), 404)
    assert_problem(client.get("/api/backtests/99"), 404)
    proposal_id = desk.propose()
    vote(desk, proposal_id, "REJECT")
    assert_problem(ask(client, proposal_id), 409)


def test_an_altered_result_is_not_shown(client, desk: Desk):
    ask(client, desk.propose())
    work(desk)
    (path,) = desk.root.glob("data/08_reporting/*/*/extra/*/backtest_*.json")
    path.write_bytes(path.read_bytes() + b" ")
    found = client.get("/api/backtests/1").json()
    assert found["backtest_results"] is None and "altered" in found["trouble"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_act_queues_the_test_and_shows_it_run_beside_the_first(open_page, desk: Desk, language):
    proposal_id, t = desk.propose(seed=2), Translator(language)
    at = press(open_page("review", language, proposal_id), t("action.more_tests"))
    assert t("extra.all_seen") in page_text(at)
    for place, day in zip(at.date_input, ("2025-06-24", "2025-07-08"), strict=True):
        place.set_value(day)
    press(at, t("extra.ask"))
    assert t("extra.accepted", id=1) in page_text(at) and t("extra.queued") in page_text(at)
    assert [v.action for v in desk.votes()] == ["REQUEST_MORE_TESTS"] and not at.date_input
    work(desk)
    at = open_page("review", language, proposal_id)
    assert t("extra.done") in page_text(at) and t("sample.IN-SAMPLE") in page_text(at)
    assert t("extra.seen") in "\n".join(warning.value for warning in at.warning)
    assert list(at.table[0].value.columns) == [t("extra.this_one"), t("extra.first_test")]
    assert METRICS["total_return"].label(language) in at.table[0].value.index
    assert len(at.get("plotly_chart")) == 5


@pytest.mark.parametrize(
    ("language", "why"),
    [
        ("en", "goes beyond the whole sessions stored, 2025-06-24 to 2025-07-08"),
        ("es", "va más allá de las sesiones completas guardadas, 2025-06-24 a 2025-07-08"),
    ],
)
def test_the_page_says_why_a_period_is_refused_and_records_nothing(open_page, desk: Desk, language, why):
    at = open_page("review", language, desk.propose(), action="more_tests")
    press(at, Translator(language)("extra.ask"))
    assert why in page_text(at)
    assert desk.votes() == [] and at.date_input


@pytest.mark.parametrize(
    ("seen", "left"),
    [
        ([], [(1, 30)]),
        ([(3, 9)], [(1, 2), (10, 30)]),
        ([(20, 40), (3, 9), (5, 12)], [(1, 2), (13, 19)]),
        ([(1, 15), (16, 30)], []),
        ([(-9, 2), (28, 30)], [(3, 27)]),
        ([(35, 40)], [(1, 30)]),
    ],
)
def test_what_nobody_has_seen_is_what_no_period_touches(seen: list, left: list):
    def day(n: int) -> date:
        return date(2025, 7, 1) + timedelta(days=n - 1)

    gaps = _gaps(day(1), day(30), [(day(first), day(last)) for first, last in seen])
    assert gaps == [(day(first), day(last)) for first, last in left]


def test_a_closed_proposal_shows_its_extra_backtests_and_no_form(open_page, client, desk: Desk):
    proposal_id = desk.propose()
    ask(client, proposal_id)
    work(desk)
    vote(desk, proposal_id, "REJECT")
    at = open_page("review", "en", proposal_id)
    assert "Extra backtests" in page_text(at) and not at.date_input


@pytest.mark.usefixtures("recomputing")
def test_an_approval_over_a_broken_chain_is_a_veto_that_names_the_link(client, desk: Desk):
    proposal_id = desk.propose_recomputable(trained_by="bob")
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(dataset_hash="0" * 64))
    vote = {"decision": "APPROVE", "notes": NOTES}
    answer = client.post(f"/api/experiments/{proposal_id}/approve", json=vote)
    assert "model registry: dataset_hash is 000000000000" in assert_problem(answer, 422)["detail"]
    assert client.get(f"/api/experiments/{proposal_id}").json()["status"] == "SUPERSEDED"
    found = client.get(f"/api/experiments/{proposal_id + 1}").json()
    assert (found["recommendation"], found["status"]) == ("REJECT", "PENDING_APPROVAL")
    assert found["criteria_results"]["lineage"].startswith("FAIL")


@pytest.mark.usefixtures("recomputing")
def test_the_page_says_which_link_broke_and_offers_no_approval_any_more(open_page, desk: Desk):
    proposal_id = desk.propose_recomputable(trained_by="bob")
    at = open_page("review", "en", proposal_id, action="approve")
    at.text_area[0].input(NOTES)
    press(at, "Approve ...")
    with writing(desk.engine) as connection:
        connection.execute(update(model_registry).values(dataset_hash="0" * 64))
    press(at, "Yes, approve")
    assert "model registry: dataset_hash is 000000000000" in page_text(at)
    assert "APPROVE" not in [button.label for button in at.button]
