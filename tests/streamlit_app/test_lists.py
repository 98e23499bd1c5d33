"""Lists at scale, and the pages that set proposals, signals and data beside each other."""

import json
import re
from datetime import UTC, datetime
from types import SimpleNamespace

import pandas as pd
import pytest
from sqlalchemy import insert

from dosvotos.database.connection import writing
from dosvotos.database.contracts import ContractRegistry
from dosvotos.database.live_limits import Trip, add_trip
from dosvotos.database.market_data import BarTable
from dosvotos.database.tables import promotion_proposals
from dosvotos.refusals import Phrase
from streamlit_app import queries
from streamlit_app.i18n import Translator
from streamlit_app.queries import Wanted, chosen_proposals
from tests.proposal_fixtures import INSTRUMENT, Desk
from tests.streamlit_app.pages import page_text, vote

pytestmark = pytest.mark.slow


def test_waiting_proposals_come_first_and_closed_ones_in_a_table(open_page, desk: Desk):
    closed = desk.propose("closed", 1)
    vote(desk, closed, "REJECT")
    sent_back = desk.propose("sent_back", 2)
    vote(desk, sent_back, "REQUEST_MORE_TESTS")
    desk.propose("waiting", 3)
    at = open_page()
    names = [element.value for element in at.text if element.value in ("closed", "sent_back", "waiting")]
    assert names == ["waiting", "sent_back"]
    assert list(at.dataframe[0].value["Experiment"]) == ["closed"]
    assert [metric.value for metric in at.metric][:4] == ["1.92", at.metric[1].value, "55.1%", "1,204"]
    assert Translator("en")("nav.proposals_pending", count=2).endswith("(2)")


def test_a_card_offers_the_specifications_five_actions_each_by_its_address(open_page, desk: Desk):
    proposal_id = desk.propose()
    links = {link.proto.label: link.proto.query_string for link in open_page().get("page_link")}
    of = f"id={proposal_id}"
    assert links == {
        "View details": of,
        "View lineage": f"{of}&section=lineage",
        "APPROVE": f"{of}&action=approve",
        "REJECT": f"{of}&action=reject",
        "REQUEST MORE TESTS": f"{of}&action=more_tests",
    }


def row_of(number: int, **columns):
    fields = {"experiment_name": f"exp{number}", "model_id": f"exp{number}_20260803", "metrics": {}}
    fields |= {"instrument": "USD/COP", "recommendation": "REVIEW"}
    return SimpleNamespace(id=number, **{**fields, **columns})


ROWS = [
    row_of(3, metrics={"sharpe_ratio": None, "max_drawdown": 0.2}, instrument=INSTRUMENT),
    row_of(2, metrics={"sharpe_ratio": 1.0, "max_drawdown": 0.3}, recommendation="PROMOTE"),
    row_of(1, metrics={"sharpe_ratio": 2.0, "max_drawdown": 0.1}),
]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [3, 2, 1]),
        ({"order": "oldest"}, [1, 2, 3]),
        ({"order": "sharpe_ratio"}, [1, 2, 3]),
        ({"order": "max_drawdown"}, [1, 3, 2]),
        ({"words": "EXP2"}, [2]),
        ({"words": "20260803 exp3"}, [3]),
        ({"words": "nothing"}, []),
        ({"instruments": (INSTRUMENT,)}, [3]),
        ({"recommendations": ("PROMOTE", "REJECT")}, [2]),
    ],
)
def test_proposals_are_searched_filtered_and_ordered(wanted: dict, numbers: list[int]):
    assert [row.id for row in chosen_proposals(ROWS, Wanted(**wanted))] == numbers


def test_many_proposals_are_paged_waiting_ones_first_and_counted_whole(open_page, desk: Desk):
    first = desk.propose("sent_back_0", 1)
    vote(desk, first, "REQUEST_MORE_TESTS")
    columns = {**desk.proposal(first)._mapping, "status": "PENDING_APPROVAL"}
    del columns["id"]
    with writing(desk.engine) as connection:
        for n in range(1, 200):
            connection.execute(insert(promotion_proposals).values({**columns, "experiment_name": f"e{n:03}"}))
    at, t = open_page(), Translator("en")
    names = [element.value for element in at.text if re.fullmatch(r"e\d{3}|sent_back_0", element.value)]
    assert names == [f"e{n}" for n in range(199, 189, -1)]
    (page,) = [box for box in at.selectbox if box.label == t("proposals.page")]
    assert "1 of 20 (200 open)" in page.options[0]
    page.select_index(19)
    at.run()
    names = [element.value for element in at.text if re.fullmatch(r"e\d{3}|sent_back_0", element.value)]
    assert names[-1] == "sent_back_0"
    at.text_input[0].input("e007")
    at.run()
    names = [element.value for element in at.text if re.fullmatch(r"e\d{3}|sent_back_0", element.value)]
    assert names == ["e007"]


def test_proposals_on_the_same_sessions_are_compared_with_an_interval(open_page, desk: Desk):
    for n in (1, 2, 3):
        desk.propose(f"exp{n}", n)
    at = open_page("compare")
    assert list(at.table[0].value.columns) == ["#3 exp3", "#2 exp2"]
    assert re.search(
        r"#3 exp3 less #2 exp2: \+0\.00, 90% interval -[\d.]+ to \+[\d.]+\. It holds 0", page_text(at)
    )
    assert {link.proto.query_string for link in at.get("page_link")} == {"id=3", "id=2"}
    assert at.table[0].value.loc["Recommendation"].tolist() == ["Promote", "Promote"]
    at.multiselect[0].set_value([1, 2, 3])
    at.run()
    assert list(at.table[0].value.columns) == ["#1 exp1", "#2 exp2", "#3 exp3"]
    assert page_text(at).count("#1 exp1 less") == 2


def test_proposals_on_other_sessions_are_not_told_apart(open_page, desk: Desk):
    desk.propose("one", 1)
    moved = {"2020-01-02": 0.1, "2020-01-03": -0.1}
    desk.propose("two", 2, results=lambda made: {**made, "daily_returns": moved})
    assert "were tested on different sessions" in page_text(open_page("compare"))


def test_production_shows_its_latency_its_gaps_and_a_halt(open_page, desk: Desk):
    proposal_id, t = desk.propose(), Translator("en")
    vote(desk, proposal_id, "APPROVE")
    desk.signal(60, desk.proposal(proposal_id).model_id)
    at = open_page("production")
    figures = {metric.label: metric.value for metric in at.metric}
    assert (figures[t("production.signals")], figures[t("production.missing")]) == ("54", "6")
    assert 1.5 <= float(figures[t("production.latency")]) <= float(figures[t("production.latency_tail")]) <= 3
    assert t("production.halted") not in page_text(at)
    assert "NO_BAR (6)" in page_text(at)
    assert t("production.no_price") in page_text(at) and len(at.get("plotly_chart")) == 1
    now, found = datetime.now(UTC), Phrase.of("limit_flips", found=7, limit=6)
    with writing(desk.engine) as connection:
        add_trip(connection, INSTRUMENT, None, Trip("FLIPS", "REDUCING", found), now, now)
    at, es = open_page("production", "es"), Translator("es")
    assert es("production.reducing") in page_text(at) and es("reason.FLIPS") in page_text(at)
    assert "7 inversiones en una hora, el límite es 6; termina con 'dosvotos resume'" in page_text(at)
    assert f"{found}; 'dosvotos resume' ends it" in page_text(open_page("production"))
    (desk.root / "data/HALT").write_text("the feed is wrong\n")
    at = open_page("production")
    assert t("production.halted") in page_text(at) and "the feed is wrong" in page_text(at)


def test_signals_stand_on_the_price_of_their_bars(open_page, desk: Desk):
    proposal_id, t = desk.propose(), Translator("en")
    vote(desk, proposal_id, "APPROVE")
    model_id, now = desk.proposal(proposal_id).model_id, datetime.now(UTC)
    contract = ContractRegistry(desk.engine).of_proposal(desk.proposal(proposal_id))
    stored = BarTable(desk.engine, INSTRUMENT, contract.parameters.feed).as_of(now)["close"]
    desk.signal(30, model_id, times=stored.index)
    at = open_page("production")
    assert t("production.on_price") in page_text(at)
    price, *turns = json.loads(at.get("plotly_chart")[0].proto.spec)["data"]
    found = queries.closes(queries.model(model_id), stored.index[-30:], now)
    pd.testing.assert_series_equal(found, stored[-30:], check_names=False, check_freq=False)
    assert [turn["name"] for turn in turns] == [t("risk.long"), t("risk.short"), t("production.flat")]
    assert price["x"][-1] == "07-08 12:55"


def test_the_first_row_of_deliveries_stands_for_none(open_page, desk: Desk):
    desk.propose()
    at, t = open_page("data"), Translator("en")
    assert t("data.no_deliveries") in page_text(at) and len(at.dataframe) == 2


def test_the_data_page_says_how_far_bars_and_variables_reach(open_page, desk: Desk):
    desk.propose()
    at = open_page("data")
    bars, variables = at.dataframe[0].value, at.dataframe[1].value
    assert list(bars["Instrument"]) == [INSTRUMENT] and bars["Last"][0].startswith("2025-07-08 12:5")
    assert "comm_oil_brent" in "".join(variables["Variable"]) and len(set(variables["Variable"])) > 4
    assert (variables["Age (days)"].str.replace(",", "").astype(float) > 0).all()


def test_signals_of_two_instruments_can_be_told_apart(open_page, desk: Desk):
    desk.signal(20, "sample")
    desk.signal(20, "real", "USD/COP")
    at = open_page("signals")
    assert at.selectbox[0].options == ["USD/COP", INSTRUMENT]
    assert set(at.dataframe[-1].value["Model"]) == {"real"}
    at.selectbox[0].select(INSTRUMENT)
    at.run()
    assert set(at.dataframe[-1].value["Model"]) == {"sample"}
    assert at.dataframe[0].value.to_numpy().tolist() == [
        ["NO_BAR", "the bar had not come by its deadline", 2]
    ]
